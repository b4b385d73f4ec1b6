"""``python -m service limits`` tells an admin what is in force, and why a user was refused."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.forks import run_command
from tests.support.processes import bare_environ
from tests.support.redis import running_redis
from tests.support.service import Sandbox, running_service, service_environ


def command(*arguments: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it as an admin does."""
    return run_command("limits", *arguments, environ=environ)


def test_the_limits_in_force_are_printed_without_a_password() -> None:
    """They need no key and no connection."""
    environ = bare_environ(
        REDIS_URL="redis://user:hunter2@127.0.0.1:1/0",
        RATE_LIMIT_TIERS='{"pro": "60/minute"}',
        RATE_LIMIT_TIER_CLAIM="user_metadata.plan",
    )
    shown = command(environ=environ)
    assert shown.returncode == 0
    for line in (
        "each user            10 in 1 minute; 100 in 1 hour",
        "tier pro             60 in 1 minute",
        "all together         600 in 1 minute",
        "refused credentials  20 in 1 minute, for each address",
        "storage              redis://***@127.0.0.1:1/0",
    ):
        assert line in shown.stdout.splitlines()
    assert "hunter2" not in shown.stdout + shown.stderr
    assert "warning: RATE_LIMIT_TIER_CLAIM" in shown.stderr


def test_a_user_who_was_refused_is_explained_and_given_back(sandbox: Sandbox) -> None:
    """From the storage that the running service counts in; the user's next request goes through."""
    with running_redis("--requirepass", "hunter2") as redis:
        variables = {
            "REDIS_URL": f"redis://:hunter2@127.0.0.1:{redis.port}",
            "RATE_LIMIT_PER_USER": "2/day;9/365 day",
        }
        environ = service_environ(sandbox.base_url, **variables)
        with running_service(sandbox.base_url, **variables) as service:
            assert [service.token().status_code for _ in range(3)] == [200, 200, 429]
            shown = command("--user", "ada", environ=environ).stdout
            assert "0 of 2 in 1 day left (the next in " in shown
            assert "7 of 9 in 365 days left" in shown
            assert "2 of 2 in 1 day left" in command("--user", "grace", environ=environ).stdout
            given_back = command("--user", "ada", "--reset", environ=environ)
            assert given_back.returncode == 0
            assert "2 of 2 in 1 day left; 9 of 9 in 365 days left" in given_back.stdout
            assert service.token().status_code == 200
            elsewhere = command("--user", "ada", "--issuer", "https://other.test", environ=environ)
            assert "2 of 2 in 1 day left" in elsewhere.stdout
            assert "hunter2" not in given_back.stdout + given_back.stderr


def test_memory_is_known_to_the_server_alone() -> None:
    """So the command says so, and does not claim to have given anything back."""
    environ = service_environ("http://127.0.0.1:1/v1")
    shown = command("--user", "ada", environ=environ)
    assert shown.returncode == 0
    assert "server process's memory, which this command cannot read" in shown.stdout
    assert command("--user", "ada", "--reset", environ=environ).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--reset"], "--reset needs --user"),
        (["--user", " "], "must not be blank"),
        (["--user", "ada"], "Cannot reach the storage"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], says: str) -> None:
    """With a status that a script notices, and without the password."""
    environ = service_environ("http://127.0.0.1:1/v1", REDIS_URL="redis://:hunter2@127.0.0.1:1")
    shown = command(*arguments, environ=environ)
    assert shown.returncode != 0
    assert says in shown.stderr
    assert "hunter2" not in shown.stdout + shown.stderr


def test_a_wrong_environment_is_listed() -> None:
    """As at the service's start."""
    shown = command(environ=bare_environ(RATE_LIMIT_PER_USER="5/min", REDIS_URL="hunter2"))
    assert shown.returncode == 1
    assert "RATE_LIMIT_PER_USER" in shown.stderr
    assert "REDIS_URL" in shown.stderr
    assert "hunter2" not in shown.stderr
