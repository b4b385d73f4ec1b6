"""A token that may be used once is used once, over processes and restarts."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.auth.single_use import SingleUse
from service.core.errors import RateLimitStorageUnavailableError
from tests.support.limits import make_store
from tests.support.redis import RedisServer
from tests.support.service import Sandbox, running_service
from tests.support.tokens import sign

IN_AN_HOUR = int(time.time()) + 3600


def test_of_many_uses_at_once_one_is_first(storage: str) -> None:
    """Telling and remembering are one step."""
    guard = SingleUse(make_store(storage))
    with ThreadPoolExecutor(16) as pool:
        first = list(pool.map(lambda _: guard.first_use("a" * 64, IN_AN_HOUR), range(100)))
    assert first.count(True) == 1
    assert guard.first_use("b" * 64, IN_AN_HOUR)


def test_a_token_is_forgotten_when_it_has_expired(redis: RedisServer) -> None:
    """And no earlier: from then on its ``exp`` refuses it."""
    redis.client.flushall()
    SingleUse(make_store(redis.url)).first_use("a" * 64, IN_AN_HOUR)
    (key,) = redis.client.keys("*")
    assert IN_AN_HOUR - time.time() <= redis.client.ttl(key) + 1 <= 3602


def test_without_the_storage_deny_lets_no_token_through() -> None:
    """Whether it was used cannot be known."""
    guard = SingleUse(make_store("redis://127.0.0.1:1", on_failure="deny"))
    with pytest.raises(RateLimitStorageUnavailableError):
        guard.first_use("a" * 64, IN_AN_HOUR)


def test_a_token_mints_once_whichever_process_sees_it(sandbox: Sandbox, redis: RedisServer) -> None:
    """With ``JWT_SINGLE_USE``, four processes and real Redis."""
    redis.client.flushall()
    with (
        running_service(
            sandbox.base_url, REDIS_URL=redis.url, WEB_CONCURRENCY="4", JWT_SINGLE_USE="1"
        ) as service,
        ThreadPoolExecutor(16) as pool,
    ):
        token = sign(jti="once")
        statuses = Counter(pool.map(lambda _: service.token(jwt=token).status_code, range(40)))
    assert statuses == {200: 1, 401: 39}
