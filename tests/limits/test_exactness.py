"""Of N requests at once against a limit of L, L are admitted: over threads, processes and restarts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.core.errors import StorageBusyError
from service.limits.counter import create_counter
from service.limits.rules import Bucket, Window
from tests.support.limits import STRATEGIES, Client, client, limits, make_store
from tests.support.redis import RedisServer
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.tokens import sign

AT_ONCE = 32


def admitted_at_once(clients: list[Client]) -> int:
    """Let each client ask once, all at the same time; count the admitted."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(is_admitted, clients))


def is_admitted(user: Client) -> bool:
    """Whether a user is admitted; one that waited too long for a connection is not, which a busy machine may do."""
    try:
        return user.is_admitted()
    except StorageBusyError:
        return False


def statuses_at_once(service: TokenService, requests: int, **options: str) -> Counter[int]:
    """Send requests at the same time; count the answers by status."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda _: service.token(**options).status_code, range(requests))
        return Counter(answers)


@pytest.fixture
def _hasty_threads() -> Iterator[None]:
    """Let the interpreter change threads as often as it can, so that they get into each other's way."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture
def patient_storage(storage: str) -> str:
    """A storage that is not taken for lost while the machine stands still: only gevent's deadline sees that."""
    return storage if storage == "memory://" else f"{storage}?socket_timeout=20"


@pytest.mark.usefixtures("_hasty_threads")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_threads_get_exactly_the_limit(patient_storage: str, strategy: str) -> None:
    """Of a user's limit, in the memory of one process and in Redis."""
    user = client(limits(patient_storage, per_user="50/day", strategy=strategy))
    assert admitted_at_once([user] * 300) == 50


@pytest.mark.usefixtures("_hasty_threads")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_users_together_get_exactly_the_global_limit(patient_storage: str, strategy: str) -> None:
    """Each well within their own, which those that come too late keep whole."""
    store = make_store(patient_storage)
    rate_limits = limits(store, per_user="50/day", strategy=strategy, **{"global": "40/day"})
    clients = [client(rate_limits) for _ in range(300)]
    assert admitted_at_once(clients) == 40
    kept = create_counter(store, strategy).peek(
        [Bucket("user", user.caller.pseudonym, Window(50, 86_400)) for user in clients]
    )
    assert sum(50 - status.remaining for status in kept) == 40


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_refusal_consumes_nothing(storage: str, strategy: str) -> None:
    """Neither of the window that refuses nor of the others: a client that hammers is not held back longer."""
    store = make_store(storage)
    rate_limits = limits(store, per_user="5/day;9/365 day", strategy=strategy, **{"global": "7/day"})
    first, second = client(rate_limits), client(rate_limits)
    assert first.uses_up() == 5
    for _ in range(20):
        assert first.is_refused().limit == "user"
    assert second.uses_up() == 2
    assert second.is_refused().limit == "global"
    windows = Window(5, 86_400), Window(9, 365 * 86_400)
    counted = create_counter(store, strategy).peek(
        [Bucket("user", second.caller.pseudonym, window) for window in windows]
    )
    assert [status.remaining for status in counted] == [3, 7]


def test_four_processes_on_redis_mint_exactly_the_limit(sandbox: Sandbox, redis: RedisServer) -> None:
    """Real gunicorn processes, real Redis: what the vendor is asked for is the limit."""
    redis.client.flushall()
    sandbox.reset()
    with running_service(
        sandbox.base_url, REDIS_URL=redis.url, WEB_CONCURRENCY="4", RATE_LIMIT_PER_USER="25/day"
    ) as service:
        assert statuses_at_once(service, 150) == {200: 25, 429: 125}
    assert len(sandbox.mints()) == 25


def test_memory_is_counted_in_one_process(sandbox: Sandbox) -> None:
    """Four would each admit the limit; so one runs, whatever ``WEB_CONCURRENCY`` says, and the log says why."""
    sandbox.reset()
    with running_service(sandbox.base_url, WEB_CONCURRENCY="4", RATE_LIMIT_PER_USER="25/day") as service:
        assert statuses_at_once(service, 150) == {200: 25, 429: 125}
        assert "RATE_LIMIT_STORAGE_URL" in service.run.output
    assert len(sandbox.mints()) == 25


def test_a_restart_of_the_service_forgets_nothing_in_redis(sandbox: Sandbox, redis: RedisServer) -> None:
    """A deploy is no way to a fresh quota."""
    redis.client.flushall()
    for expected in ({200: 4}, {200: 1, 429: 3}):
        with running_service(sandbox.base_url, REDIS_URL=redis.url, RATE_LIMIT_PER_USER="5/day") as service:
            assert statuses_at_once(service, 4) == expected


def test_refused_credentials_never_hold_back_a_valid_token(sandbox: Sandbox) -> None:
    """Behind one address, as in an office."""
    with running_service(sandbox.base_url, RATE_LIMIT_FAILED_AUTH="3/day") as service:
        assert statuses_at_once(service, 10, jwt="junk") == {401: 3, 429: 7}
        forged = sign(key="another-secret-of-at-least-32-bytes!")
        assert "address limit" in service.token(jwt=forged).json()["error"]["message"]
        assert statuses_at_once(service, 10) == {200: 10}


def test_a_spoofed_address_does_not_change_the_bucket(sandbox: Sandbox) -> None:
    """Behind one trusted proxy only what that proxy appended counts."""
    with running_service(sandbox.base_url, RATE_LIMIT_FAILED_AUTH="3/day", TRUSTED_PROXY_HOPS="1") as service:
        answers = [
            service.token(jwt="junk", headers={"X-Forwarded-For": f"6.6.6.{number}, 203.0.113.7"}).status_code
            for number in range(5)
        ]
        assert answers == [401, 401, 401, 429, 429]
        assert service.token(jwt="junk", headers={"X-Forwarded-For": "203.0.113.8"}).status_code == 401
