"""A Redis for all tests that do not stop it, and one of its own for each that does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis import RedisServer, running_redis


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """Give a server that all tests share."""
    with running_redis() as server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """Give a server that the test may stop and kill."""
    with running_redis() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def storage(request: pytest.FixtureRequest) -> str:
    """Name a storage: the process's memory, then Redis."""
    if request.param == "memory":
        return "memory://"
    server: RedisServer = request.getfixturevalue("redis")
    server.client.flushall()
    return server.url
