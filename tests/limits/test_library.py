"""What we rely on of the libraries below, and what we do not let them do."""

from __future__ import annotations

import subprocess
import threading
from itertools import takewhile

import pytest
from flask import Flask

from service.core.errors import RateLimitedError
from service.limits.counter import create_counter
from service.limits.rules import ADDRESS_BUCKETS, NETWORK_BUCKETS, Bucket, LimitRules, Window
from service.limits.settings import LimitSettings
from service.store.protocol import KEY_PREFIX
from service.store.redis import CONNECTIONS
from tests.support.limits import STRATEGIES, caller, client, limits, make_store
from tests.support.processes import PYTHON, ROOT, bare_environ
from tests.support.redis import RedisServer

BUCKETS = (Bucket("user", "ada", Window(3, 60)), Bucket("user", "ada", Window(5, 3600)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_look_shows_what_counting_showed_and_clearing_leaves_nothing(storage: str, strategy: str) -> None:
    """It is what the command uses."""
    counter = create_counter(make_store(storage), strategy)
    for used in (1, 2, 3):
        acquisition = counter.acquire(BUCKETS)
        seen = counter.peek(BUCKETS)
        assert acquisition.admitted
        assert [status.remaining for status in acquisition.statuses] == [3 - used, 5 - used]
        for after, looked in zip(acquisition.statuses, seen, strict=True):
            assert after.remaining == looked.remaining
            assert after.renews_in == pytest.approx(looked.renews_in, abs=1.1)
    assert not counter.acquire(BUCKETS).admitted
    counter.clear(BUCKETS)
    assert [status.remaining for status in counter.peek(BUCKETS)] == [3, 5]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_everything_we_store_expires_and_has_one_hash_tag(redis: RedisServer, strategy: str) -> None:
    """A key without an expiry would fill the storage; one with another tag would be on another node of a cluster."""
    redis.client.flushall()
    rate_limits = limits(redis.url, per_user="3/minute;5/hour", strategy=strategy)
    for _ in range(5):
        client(rate_limits).ask()
        rate_limits.count_failed_auth("2001:db8::/64")
    keys = redis.client.keys("*")
    assert len(keys) > 4
    assert all(0 < redis.client.ttl(key) <= 2 * 3600 for key in keys)
    tags = {key.decode().partition("{")[2].partition("}")[0] for key in keys}
    assert tags == {KEY_PREFIX.strip("{}")}


def test_a_change_of_strategy_finds_no_keys_of_another_kind(redis: RedisServer) -> None:
    """A counter read as a log is an error to Redis, and would count as a lost storage."""
    redis.client.flushall()
    for strategy in STRATEGIES:
        user = client(limits(redis.url, per_user="2/day", strategy=strategy, on_storage_failure="deny"))
        assert user.uses_up() == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_round_trip_a_request(own_redis: RedisServer, strategy: str) -> None:
    """For all windows together, headers included, and for other features' keys that are read along."""
    own_redis.client.set(f"{KEY_PREFIX}/revoked/ada", "1", px=60_000)
    read = [f"{KEY_PREFIX}/revoked/ada", f"{KEY_PREFIX}/revoked/grace"]
    counter = create_counter(make_store(own_redis.url), strategy)
    counter.acquire(BUCKETS)
    with own_redis.client.monitor() as monitor:
        for _ in range(10):
            assert counter.acquire(BUCKETS, read=read).values == (b"1", None)
        own_redis.client.echo("the end")
        commands = list(takewhile(lambda command: "the end" not in command["command"], monitor.listen()))
    from_the_network = [command["command"] for command in commands if command["client_type"] != "lua"]
    assert [command.split()[0] for command in from_the_network] == ["EVALSHA"] * 10


def test_many_requests_in_flight_share_few_connections(redis: RedisServer) -> None:
    """Small plans allow 20 in all."""
    user = client(limits(redis.url, per_user="1000/day"))
    threads = [threading.Thread(target=user.is_admitted) for _ in range(100)]
    observer = redis.client
    before = observer.info("clients")["connected_clients"]
    observer.client_pause(100)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert user.limits.state() == "ok"
    assert observer.info("clients")["connected_clients"] <= before + CONNECTIONS


def test_the_flask_limiter_command_shows_no_password() -> None:
    """It prints the storage's URL and options otherwise."""
    app = (
        "import sys\nfrom flask import Flask\nfrom tests.support.limits import limits\n"
        "from flask_limiter.commands import cli\n"
        "app = Flask('app')\n"
        "limits('redis://:hunter2@127.0.0.1:1').init_app(app)\n"
        "limiter, = app.extensions['limiter']\n"
        "print(vars(limiter))\n"
        "app.test_cli_runner().invoke(cli, ['config'])\n"
        "print(app.test_cli_runner().invoke(cli, ['config']).output)\n"
    )
    shown = subprocess.run(
        [PYTHON, "-c", app], cwd=ROOT, env=bare_environ(), capture_output=True, text=True, check=True
    )
    assert "SlidingWindowCounterRateLimiter" in shown.stdout
    assert "hunter2" not in shown.stdout + shown.stderr


def test_flask_limiter_adds_nothing_to_a_request() -> None:
    """The app has it, and none of its hooks, which would cost 38 µs each on every request."""
    app = Flask("app")
    limits().init_app(app)
    assert len(app.extensions["limiter"]) == 1
    assert not any([app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs])


def test_what_strangers_create_is_bounded(storage: str, redis: RedisServer) -> None:
    """Bad tokens from however many addresses and networks fill a fixed number of buckets."""
    rate_limits = limits(storage, failed_auth="1000000/day", per_user="2/day", on_storage_failure="deny")
    for number in range(300):
        rate_limits.count_failed_auth(f"198.51.{number % 256}.{number // 256}")
        rate_limits.count_failed_auth(f"2001:db8:{number:x}::/64")
    buckets = ADDRESS_BUCKETS + NETWORK_BUCKETS
    if storage != "memory://":
        assert redis.client.dbsize() <= 300 * 3
        keys = redis.client.keys()  # the server's own count of each, which its other tables do not disturb
        each = max(redis.client.memory_usage(key) or 0 for key in keys)
        assert 0 < each * 2 * buckets < 2_000_000
    assert client(rate_limits).uses_up() == 2


def test_every_address_and_network_has_one_of_a_fixed_number_of_buckets() -> None:
    """So a stranger with a whole /48, or all of the Internet, creates no more."""
    rules = limits_rules("3/day")
    identities = {
        bucket.identity
        for number in range(20_000)
        for bucket in rules.address_buckets(f"2001:db8:{number:x}::/64")
    }
    assert len(identities) <= ADDRESS_BUCKETS + NETWORK_BUCKETS


def limits_rules(failed_auth: str) -> LimitRules:
    return LimitSettings.from_environ({"RATE_LIMIT_FAILED_AUTH": failed_auth}).limit_rules


def test_a_network_is_held_back_as_a_whole(storage: str) -> None:
    """A customer is often given a whole /48, and would have 65,536 fresh limits."""
    rate_limits = limits(storage, failed_auth="2/day", on_storage_failure="deny")
    for number in range(20):
        rate_limits.count_failed_auth(f"2001:db8:1:{number:x}::/64")
    with pytest.raises(RateLimitedError) as refused:
        rate_limits.count_failed_auth("2001:db8:1:ff::/64")
    assert refused.value.limit == "address"
    rate_limits.count_failed_auth("198.51.100.1")
    assert rate_limits.acquire(caller()).remaining
