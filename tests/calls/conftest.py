"""Both kinds of registry, each empty; one Redis for all tests that do not stop it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.calls.registry import CallRegistry
from tests.support.calls import OPENING_SECONDS, Clock, MakeRegistry, memory_calls, redis_calls
from tests.support.redis import RedisServer, running_redis
from tests.support.service import Sandbox


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """Give a server that all tests share."""
    with running_redis() as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_is_open(request: pytest.FixtureRequest) -> None:
    """End what other tests left open at the sandbox, which all tests of a worker share."""
    if "sandbox" in request.fixturenames:
        sandbox: Sandbox = request.getfixturevalue("sandbox")
        sandbox.reset()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """Give a server that the test may stop and kill."""
    with running_redis() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    """Give the registry's clock, which moves only when the test moves it."""
    return Clock(1_795_618_399.0)


@pytest.fixture(params=["memory", "redis"])
def make_registry(request: pytest.FixtureRequest) -> MakeRegistry:
    """Make registries of the process's memory, then of Redis."""
    if request.param == "memory":
        return memory_calls
    server: RedisServer = request.getfixturevalue("redis")
    server.client.flushall()

    def make(clock: Clock | None = None, *, opening_seconds: float = OPENING_SECONDS) -> CallRegistry:
        return redis_calls(server, clock, opening_seconds=opening_seconds)

    return make


@pytest.fixture
def registry(make_registry: MakeRegistry, clock: Clock) -> CallRegistry:
    """Give a registry with the test's clock."""
    return make_registry(clock)
