"""When the storage is gone every request is answered at once, no limit is lifted, and Redis is found again."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import MappingProxyType

import pytest

from service.core.errors import RateLimitedError, RateLimitStorageUnavailableError
from service.core.model import Caller
from service.store.breaker import PROBE_INTERVAL
from tests.support.limits import client, limits
from tests.support.processes import PYTHON, ROOT, bare_environ, wait_until
from tests.support.redis import RedisServer
from tests.support.service import Sandbox, TokenService, running_service

pytestmark = pytest.mark.alone

MOST_SECONDS = 1.0
REFUSING = "redis://127.0.0.1:1"


@contextmanager
def answered_in_time(seconds: float = MOST_SECONDS) -> Iterator[None]:
    """Fail the test where the block takes too long."""
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < seconds


def test_without_the_storage_requests_count_in_the_process() -> None:
    """With the same limits: never none."""
    user = client(limits(REFUSING, per_user="3/day"))
    with answered_in_time():
        assert user.uses_up() == 3
    assert user.limits.state() == "degraded"


def test_without_the_storage_deny_refuses_everybody() -> None:
    """With a 503 that says when to come back."""
    user = client(limits(REFUSING, on_storage_failure="deny"))
    for _ in range(2):
        with answered_in_time(), pytest.raises(RateLimitStorageUnavailableError) as refused:
            user.limits.acquire(user.caller)
        assert int(refused.value.headers["Retry-After"]) >= 1
    assert user.limits.state() == "unavailable"


def test_refused_credentials_are_counted_without_the_storage_too() -> None:
    """In the process with ``local``; with ``deny`` they get a 503 as everybody does."""
    rate_limits = limits(REFUSING, failed_auth="2/day")
    with answered_in_time():
        for _ in range(2):
            rate_limits.count_failed_auth("198.51.100.7")
        with pytest.raises(RateLimitedError):
            rate_limits.count_failed_auth("198.51.100.7")
    with pytest.raises(RateLimitStorageUnavailableError):
        limits(REFUSING, on_storage_failure="deny").count_failed_auth("198.51.100.7")


def test_only_the_first_request_waits_for_a_storage_that_hangs(own_redis: RedisServer) -> None:
    """The rest are spared; and it is used again by itself, with what it counted before."""
    user = client(limits(own_redis.url, per_user="5/day"))
    assert user.is_admitted()
    with own_redis.hung():
        with answered_in_time():
            assert user.is_admitted()
        with answered_in_time(0.1):
            assert user.is_admitted()
        assert user.limits.state() == "degraded"
    wait_until(lambda: user.limits.state() == "ok", seconds=10, what="the return to Redis")
    # One before, and one that was on its way when Redis hung, which counts it on waking up.
    assert user.uses_up() == 5 - 2


def test_a_storage_that_was_killed_and_started_again_is_used_again(own_redis: RedisServer) -> None:
    """Its connections are gone, and its scripts."""
    user = client(limits(own_redis.url, per_user="5/day"))
    assert user.is_admitted()
    own_redis.kill()
    with answered_in_time():
        assert user.is_admitted()
    time.sleep(1.5 * PROBE_INTERVAL)  # it is asked meanwhile, and must not be believed to be back
    assert user.limits.state() == "degraded"
    own_redis.start()
    wait_until(lambda: user.limits.state() == "ok", seconds=10, what="the return to Redis")
    assert user.uses_up() == 5


def test_a_restart_between_two_requests_is_not_noticed(own_redis: RedisServer) -> None:
    """A connection that the server closed is replaced before it is used."""
    user = client(limits(own_redis.url, on_storage_failure="deny"))
    assert user.is_admitted()
    own_redis.kill()
    own_redis.start()
    assert user.is_admitted()
    assert user.limits.state() == "ok"


def test_a_storage_that_cannot_write_counts_as_gone(own_redis: RedisServer) -> None:
    """One that answers a ping may still not count, such as a full one."""
    user = client(limits(own_redis.url, per_user="5/day"))
    own_redis.client.config_set("maxmemory", 1)
    own_redis.client.config_set("maxmemory-policy", "noeviction")
    assert user.limits.probe() == "degraded"
    assert user.uses_up() == 5
    own_redis.client.config_set("maxmemory", 0)
    wait_until(lambda: user.limits.state() == "ok", seconds=10, what="the return to Redis")


class BrokenName(str):
    """What a bug elsewhere may hand to the counting."""

    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("a bug")


def test_an_error_elsewhere_changes_nothing(storage: str) -> None:
    """The library's own fallback gives a blocked user a fresh quota after any exception."""
    user = client(limits(storage, per_user="2/day"))
    assert user.uses_up() == 2
    with pytest.raises(ValueError, match="a bug"):
        user.limits.acquire(Caller("", "", MappingProxyType({}), pseudonym=BrokenName()))
    assert user.limits.state() == "ok"
    assert not user.is_admitted()


def timed_statuses(service: TokenService, requests: int) -> Counter[int]:
    """Send requests, eight at a time; count the answers, each of which must come in time.

    The service's own clock decides, which it writes down for each request: here eight clients, Redis and the
    vendor share the machine.
    """
    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(lambda _: service.token().status_code, range(requests)))
    lines = [json.loads(line) for line in service.run.output.splitlines() if line.startswith("{")]
    durations = [line["ms"] for line in lines if line["event"] == "request"]
    assert len(durations) >= requests
    assert max(durations) < 1000 * MOST_SECONDS
    return statuses


def test_the_service_outlives_a_hung_and_a_killed_redis(sandbox: Sandbox, own_redis: RedisServer) -> None:
    """Two real workers: each answer within a second, each worker's limit kept, and Redis found again."""
    with running_service(
        sandbox.base_url, REDIS_URL=own_redis.url, WEB_CONCURRENCY="2", RATE_LIMIT_PER_USER="10/day"
    ) as service:
        assert timed_statuses(service, 15) == {200: 10, 429: 5}
        with own_redis.hung():
            statuses = timed_statuses(service, 40)
            assert 10 <= statuses[200] <= 2 * 10
            assert statuses[200] + statuses[429] == 40
        wait_until(lambda: timed_statuses(service, 8) == {429: 8}, seconds=10, what="the return to Redis")
        own_redis.kill()
        assert timed_statuses(service, 20)[429] >= 20 - 2 * 10
        own_redis.start()
        wait_until(
            lambda: bool(timed_statuses(service, 1)) and bool(own_redis.client.keys("*user*")),
            seconds=10,
            what="the return to a new Redis",
        )


def test_a_redis_killed_in_mid_flight_costs_nobody_an_answer(
    sandbox: Sandbox, own_redis: RedisServer
) -> None:
    """While requests are being counted."""
    with running_service(sandbox.base_url, REDIS_URL=own_redis.url) as service:
        timer = threading.Timer(0.3, own_redis.kill)
        timer.start()
        assert timed_statuses(service, 200) == {200: 200}
        timer.join()


def test_the_service_denies_while_redis_is_gone(sandbox: Sandbox, own_redis: RedisServer) -> None:
    """With ``deny``, in time, and only as long as it is gone."""
    with running_service(
        sandbox.base_url, REDIS_URL=own_redis.url, RATE_LIMIT_ON_STORAGE_FAILURE="deny"
    ) as service:
        with own_redis.hung():
            assert timed_statuses(service, 20) == {503: 20}
            assert service.token().json()["error"]["code"] == "rate_limit_storage_unavailable"
            assert int(service.token().headers["Retry-After"]) >= 1
        wait_until(lambda: service.token().status_code == 200, seconds=10, what="the return to Redis")


@contextmanager
def dripping_server() -> Iterator[str]:
    """Accept, and answer a byte every 50 ms for ever: each within any timeout per read."""

    def drip(connection: socket.socket) -> None:
        with connection:
            try:
                while not done.wait(0.05):
                    connection.sendall(b"+")
            except OSError:
                return

    def accept() -> None:
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=[connection], daemon=True).start()

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_storage_that_drips_is_given_up_in_time(sandbox: Sandbox) -> None:
    """The whole of a call has a deadline, not just each read."""
    with dripping_server() as url, running_service(sandbox.base_url, REDIS_URL=url) as service:
        assert timed_statuses(service, 10) == {200: 10}


BUSY = """
from gevent import monkey; monkey.patch_all()
import gevent, socket, time
from service.core.deadline import turning_deadline

def be_busy(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end: pass

asking, answering = socket.socketpair()
gevent.spawn_later(0.02, be_busy, 1)
gevent.spawn_later(0.02, answering.sendall, b"answered")
with turning_deadline(0.5):
    print(asking.recv(100).decode())
try:
    with turning_deadline(0.2):
        asking.recv(100)
except TimeoutError:
    print("given up")
with turning_deadline(0.2):
    pass
gevent.sleep(0.3)
print("left alone")
"""


def test_a_busy_process_is_not_taken_for_a_lost_storage() -> None:
    """The answer is in the socket when the process comes to itself, and so does the timeout: the answer wins.

    A plain timeout made workers under load leave Redis, and then four of them admitted 83 of a limit of 25.
    """
    shown = subprocess.run(
        [PYTHON, "-c", BUSY], cwd=ROOT, env=bare_environ(), capture_output=True, text=True, check=False
    )
    assert shown.stdout.splitlines() == ["answered", "given up", "left alone"], shown.stderr
