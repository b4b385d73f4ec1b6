"""``calls`` and ``revoke``: what an admin sees and does, with a Redis and without.

The commands run in this process; ``test_cut_off`` runs them as an admin does.
"""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.settings import Settings
from tests.support.calls import opened, redis_calls
from tests.support.redis import RedisServer
from tests.support.service import service_environ

UPSTREAM = "http://127.0.0.1:1/v1"


def environ(redis: RedisServer, **others: str) -> dict[str, str]:
    return service_environ(UPSTREAM, RATE_LIMIT_STORAGE_URL=redis.url, **others)


def run(redis: RedisServer, *arguments: str, **others: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environ(redis, **others))


def test_calls_are_listed_ended_and_revoked(own_redis: RedisServer) -> None:
    settings = Settings.from_environ(environ(own_redis))
    ada, bob = settings.pseudonym_of("ada", None), settings.pseudonym_of("bob", None)
    registry = redis_calls(own_redis)
    first, second, third = opened(registry, ada), opened(registry, ada, calls=2), opened(registry, bob)

    listed = run(own_redis, "calls").stdout.splitlines()
    assert [line.partition(" ")[0] for line in listed] == [first.id, second.id, third.id, "3"]
    document = json.loads(run(own_redis, "calls", "--sub", "bob", "--json").stdout)
    (shown,) = document["calls"]
    assert (shown["id"], shown["user"], shown["upstream_id"]) == (third.id, bob, third.upstream_id)
    others = run(own_redis, "calls", "--sub", "bob", "--end", first.id)
    assert (others.exit_code, others.stderr) == (1, f"Error: There is no call {first.id} of this user.\n")
    assert run(own_redis, "calls", "--end", first.id).stdout == f"call {first.id} is being ended\n"
    ending = json.loads(run(own_redis, "calls", "--end", first.id, "--sub", "ada", "--json").stdout)
    assert (ending["call"]["id"], ending["call"]["state"]) == (first.id, "ending")
    assert run(own_redis, "calls", "--end", first.id).stdout == f"call {first.id} is ending already\n"
    revoked = run(own_redis, "revoke", "ada")
    assert revoked.exit_code == 0, revoked.stderr
    assert ada in revoked.stdout
    assert "calls being ended: 1" in revoked.stdout
    assert own_redis.client.get(f"{{realtime-token}}/revoked/{ada}")
    assert [call.id for call in registry.list_calls(states=("open",), user=bob)] == [third.id]


def test_an_unknown_call_and_an_unknown_issuer_are_errors_of_one_line(redis: RedisServer) -> None:
    unknown = run(redis, "calls", "--end", "call_0")
    assert (unknown.exit_code, unknown.stderr) == (1, "Error: There is no call call_0.\n")
    issuer = run(redis, "revoke", "ada", "--issuer", "https://other.test")
    assert issuer.exit_code == 2
    assert "tokens of that issuer are not accepted" in issuer.stderr
    several = run(redis, "revoke", "ada", JWT_ISSUER="https://a.test,https://b.test")
    assert several.exit_code == 2
    assert "name one" in several.stderr


@pytest.mark.parametrize(
    ("arguments", "route"), [(("calls",), "GET /admin/calls"), (("revoke", "ada"), "POST /admin/revocations")]
)
def test_in_memory_they_name_the_admins_route(arguments: tuple[str, ...], route: str) -> None:
    done = CliRunner().invoke(main, arguments, env=service_environ(UPSTREAM))
    assert done.exit_code == 2
    assert route in done.stderr
    assert "ADMIN_TOKEN" in done.stderr


def test_a_redis_that_is_away_is_an_error_without_a_traceback(own_redis: RedisServer) -> None:
    own_redis.kill()
    for arguments in (("calls",), ("revoke", "ada")):
        done = run(own_redis, *arguments)
        assert done.exit_code == 1
        assert done.stderr.splitlines()[-1].startswith("Error: Cannot reach the storage: ")
        assert "Traceback" not in done.stderr
