"""Flask-Limiter, wired: it owns the storage and the strategy, and ours is the evaluation.

No limit is declared to it, so its hooks do nothing: its own evaluation consumes the earlier limits of a
request that a later one refuses, answers with the shortest window and in HTML, and takes any exception for a
dead storage (``in_memory_fallback``).
"""

from __future__ import annotations

import threading
from typing import Literal

from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits.storage import RedisClusterStorage, RedisStorage
from limits.strategies import RateLimiter
from pydantic import SecretStr

from service.ratelimit.counter import StrategyCounter
from service.ratelimit.failover import Failover
from service.ratelimit.local import LocalStorage
from service.ratelimit.redis_counter import RedisCounter
from service.ratelimit.storage import CONCEALED


def attach(app: Flask, *, url: SecretStr, strategy: str, on_heroku: bool = False) -> RateLimiter:
    """Give the app its Flask-Limiter and return the strategy, over its storage, that all counting goes by."""
    limiter = Limiter(
        get_remote_address,
        strategy=strategy,
        storage_uri=f"{CONCEALED}://",
        storage_options={"url": url, "strategy": strategy, "on_heroku": on_heroku},  # type: ignore[dict-item]  # options are what a storage takes
        headers_enabled=False,
        swallow_errors=False,
        in_memory_fallback_enabled=False,
    )
    limiter.init_app(app)
    return limiter.limiter


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
    return Failover(counter_for(strategy), fallback, failures=(*failures, OSError))
