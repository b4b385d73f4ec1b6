"""What we rely on of the libraries below, and what we do not let them do."""

from __future__ import annotations

import subprocess
import threading
import time
from itertools import takewhile

import pytest
import time_machine
from limits.strategies import STRATEGIES as LIBRARY_STRATEGIES

from service.core.errors import RateLimitedError
from service.limits.counting import counter_for, open_counter
from service.limits.local import MOST_KEYS, LocalStorage
from service.limits.redis_counter import RedisCounter
from service.limits.storage import CONNECTIONS, open_storage
from service.limits.window import Bucket, Window
from tests.support.limits import STRATEGIES, client, limits
from tests.support.processes import PYTHON, ROOT, bare_environ
from tests.support.redis import RedisServer

BUCKETS = (Bucket("user", "ada", Window(3, 60)), Bucket("user", "ada", Window(5, 3600)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_our_scripts_keep_what_the_library_reads(redis: RedisServer, strategy: str) -> None:
    """So that its reading and its clearing hold for what we count; it is what the command uses."""
    redis.client.flushall()
    ours = LIBRARY_STRATEGIES[strategy](open_storage(redis.url, strategy))
    counter = counter_for(ours)
    assert isinstance(counter, RedisCounter)
    for used in (1, 2, 3):
        taken = counter.take(BUCKETS)
        seen = counter.peek(BUCKETS)
        for ours_says, library_says in zip(taken.standings, seen.standings, strict=True):
            assert ours_says.remaining == library_says.remaining
            assert ours_says.renews_in == pytest.approx(library_says.renews_in, abs=1.1)
        left = [ours.get_window_stats(bucket.window, *bucket.identifiers).remaining for bucket in BUCKETS]
        assert left == [3 - used, 5 - used]
    assert not counter.take(BUCKETS).admitted
    assert not ours.test(BUCKETS[0].window, *BUCKETS[0].identifiers)
    counter.clear(BUCKETS)
    assert redis.client.keys("*") == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_everything_we_store_expires(redis: RedisServer, strategy: str) -> None:
    """A key without an expiry would fill the storage, and lock its user out for ever."""
    redis.client.flushall()
    counter = open_counter(redis.url, strategy)
    for _ in range(5):
        counter.take(BUCKETS)
    lives = [redis.client.ttl(key) for key in redis.client.keys("*")]
    assert len(lives) == 2
    assert all(0 < life <= 2 * 3600 for life in lives)


def test_a_change_of_strategy_finds_no_keys_of_another_kind(redis: RedisServer) -> None:
    """A counter read as a log is an error to Redis, and would count as a lost storage."""
    redis.client.flushall()
    for strategy in STRATEGIES:
        user = client(limits(redis.url, per_user="2/day", strategy=strategy, on_storage_failure="deny"))
        assert user.uses_up() == 2


def test_one_round_trip_a_request(redis: RedisServer) -> None:
    """For all windows together, headers included."""
    user = client(limits(redis.url, per_user="50/minute;500/hour;5000/day"))
    user.is_admitted()
    with redis.client.monitor() as monitor:
        for _ in range(10):
            user.is_admitted()
        redis.client.echo("the end")
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
        "from flask import Flask\nfrom pydantic import SecretStr\n"
        "from service.limits.extension import attach\n"
        "app = Flask('app')\n"
        "attach(app, url=SecretStr('redis://:hunter2@127.0.0.1:1'), strategy='fixed-window')\n"
        "limiter, = app.extensions['limiter']\n"
        "print(vars(limiter))\n"
        "from flask_limiter.commands import cli\n"
        "app.test_cli_runner().invoke(cli, ['config'])\n"
        "print(app.test_cli_runner().invoke(cli, ['config']).output)\n"
    )
    shown = subprocess.run(
        [PYTHON, "-c", app], cwd=ROOT, env=bare_environ(), capture_output=True, text=True, check=True
    )
    assert "FixedWindowRateLimiter" in shown.stdout
    assert "hunter2" not in shown.stdout + shown.stderr


def test_memory_has_no_timer_and_forgets_by_itself() -> None:
    """The library's timer goes through every key up to 100 times a second and races with the counting."""
    storage = LocalStorage()
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        for number in range(1500):
            storage.incr(f"old-{number}", 60)
            storage.acquire_entry(f"log-{number}", 1, 60)
        clock.shift(61)
        for number in range(1500):
            storage.incr(f"new-{number}", 60)
    assert not any(key.startswith(("old-", "log-")) for key in [*storage.expirations, *storage.events])
    assert len(storage.expirations) == 1500
    assert not any(
        isinstance(thread, threading.Timer) for thread in threading.enumerate() if thread.is_alive()
    )


def test_memory_does_not_grow_with_the_number_of_addresses() -> None:
    """Beyond very many, strangers share one bucket; users with a valid token go on as before."""
    rate_limits = limits(failed_auth="2/day", per_user="2/day")
    storage = rate_limits.counter._primary._strategy.storage
    assert isinstance(storage, LocalStorage)
    end = time.time() + 86_400
    storage.expirations.update({f"key-{number}": end for number in range(MOST_KEYS)})
    for number in range(2):
        rate_limits.count_failed_auth(f"198.51.100.{number}")
    with pytest.raises(RateLimitedError):
        rate_limits.count_failed_auth("198.51.100.2")
    assert client(rate_limits).uses_up() == 2
    assert len(storage.expirations) <= MOST_KEYS + 4
