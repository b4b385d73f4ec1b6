"""Revocations, in memory and on Redis: who is refused, until when, and that a later one only moves them forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.auth.revocations import Revocations
from service.core.errors import InvalidTokenError
from service.core.model import Caller
from service.store import MemoryStore, Store
from service.store.redis import PooledRedis
from tests.support.redis import running_redis

NOW = 1_795_618_399
USER = "f" * 64


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Give a store of each kind."""
    if request.param == "memory":
        yield MemoryStore()
        return
    with running_redis() as server:
        yield PooledRedis(server.url)


@pytest.fixture
def revocations(store: Store) -> Revocations:
    return Revocations(store, max_lifetime=3600, leeway=10, clock=lambda: NOW)


@pytest.fixture
def read(store: Store) -> Callable[[str], Any]:
    """Read a key of the store."""
    if isinstance(store, MemoryStore):
        return store.get
    return lambda key: store.call(lambda client: client.get(key))


def caller(**claims: Any) -> Caller:
    return Caller("https://issuer.test", "ada", claims, USER)


def test_tokens_up_to_the_moment_are_refused_and_later_ones_are_not(
    revocations: Revocations, read: Callable[[str], Any]
) -> None:
    assert revocations.revoke(USER) == NOW + 10
    value = read(revocations.key(caller()))

    for claims in ({"iat": NOW - 60}, {"iat": NOW + 10}, {"iat": NOW + 10.0}, {}, {"iat": "soon"}):
        with pytest.raises(InvalidTokenError) as refused:
            revocations.check(caller(**claims), value)
        assert refused.value.seen["cause"] == "revoked"
        assert "revoked" in str(refused.value.reason)
    revocations.check(caller(iat=NOW + 11), value)
    revocations.check(caller(), None)


def test_a_later_revocation_only_moves_it_forward(
    revocations: Revocations, read: Callable[[str], Any]
) -> None:
    assert revocations.revoke(USER, NOW) == NOW
    assert revocations.revoke(USER, NOW - 100) == NOW
    assert revocations.revoke(USER, NOW + 5) == NOW + 5
    assert int(read(revocations.key(caller()))) == NOW + 5
    assert read(revocations.key(Caller("i", "bob", {}, "e" * 64))) is None


def test_an_earlier_moment_does_not_shorten_how_long_a_later_one_is_kept(store: Store) -> None:
    """Else tokens that were revoked would be let in again."""
    passed = 0.0
    store = MemoryStore(lambda: passed) if isinstance(store, MemoryStore) else store
    kept = Revocations(store, max_lifetime=3600, leeway=10, clock=lambda: NOW)
    kept.revoke(USER, NOW + 10_000)
    assert kept.revoke(USER) == NOW + 10_000
    key = kept.key(caller())
    if isinstance(store, MemoryStore):
        passed = 10_000.0
        assert store.get(key) == NOW + 10_000
    else:
        assert store.call(lambda client: client.ttl(key)) > 10_000


def test_it_is_kept_as_long_as_a_revoked_token_could_be_used(store: Store) -> None:
    kept = Revocations(store, max_lifetime=3600, leeway=10, clock=lambda: NOW)
    kept.revoke(USER)
    kept.revoke(USER, NOW - 3000)
    if not isinstance(store, MemoryStore):
        left = store.call(lambda client: client.ttl(kept.key(caller())))
        assert 3610 < left <= 3620
