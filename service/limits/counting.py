"""Choosing how to count: the storage and the strategy decide."""

from __future__ import annotations

import threading
from typing import Literal

from limits.storage import RedisClusterStorage, RedisStorage
from limits.strategies import STRATEGIES, RateLimiter

from service.limits.counter import StrategyCounter
from service.limits.failover import Failover
from service.limits.local import LocalStorage
from service.limits.redis_counter import RedisCounter
from service.limits.storage import open_storage


def open_counter(url: str, strategy: str, *, on_heroku: bool = False) -> StrategyCounter:
    """Count in a storage without an app around it, for commands."""
    return counter_for(STRATEGIES[strategy](open_storage(url, strategy, on_heroku=on_heroku)))


def counter_for(strategy: RateLimiter) -> StrategyCounter:
    """Choose how to count: in one script on Redis, under a lock in memory, by the library elsewhere."""
    storage = strategy.storage
    if isinstance(storage, LocalStorage):
        return StrategyCounter(strategy, lock=threading.RLock())
    if isinstance(storage, RedisStorage) and not isinstance(storage, RedisClusterStorage):
        return RedisCounter(strategy, storage)
    return StrategyCounter(strategy)


def failover_for(strategy: RateLimiter, *, on_failure: Literal["local", "deny"]) -> Failover:
    """Put the circuit breaker before a storage."""
    storage = strategy.storage
    fallback = counter_for(type(strategy)(LocalStorage())) if on_failure == "local" else None
    known = storage.base_exceptions
    failures = known if isinstance(known, tuple) else (known,)
    return Failover(counter_for(strategy), fallback, failures=(*failures, OSError) if failures else ())
