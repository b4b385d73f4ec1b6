"""Counting by the ``limits`` library's strategies, over any of its storages.

Flask-Limiter's own evaluation is not used: it consumes the earlier limits of a request that a later one
refuses, shows the shortest window rather than the tightest, and takes any exception for a dead storage.
Here every window is looked at first, and a refusal consumes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)

from service.limits.local import LocalStorage
from service.limits.state import FixedState, MovingState, SlidingState, Standing, State, Taken
from service.limits.window import Bucket


class Counter(Protocol):
    """Something that counts requests."""

    @property
    def crowded(self) -> bool:
        """Whether it remembers so much that strangers should no longer get a bucket each."""

    def take(self, buckets: Sequence[Bucket]) -> Taken:
        """Count one request in every bucket, or in none."""

    def first_use(self, key: str, seconds: int) -> bool:
        """Tell whether ``key`` is seen for the first time, and remember it for so many seconds."""


class StrategyCounter:
    """Any storage. Looks at every bucket, then counts in each.

    Between the look and the count another process may take the last of a bucket. Then this request is
    refused, and what it had counted in earlier buckets stays counted: too few are admitted, never too many.
    Where ``lock`` is given (memory, which only this process counts in) that cannot happen.
    """

    def __init__(self, strategy: RateLimiter, *, lock: AbstractContextManager[Any] | None = None) -> None:
        self._strategy = strategy
        self._read = _READERS[type(strategy)]
        self._lock = lock or nullcontext()

    @property
    def crowded(self) -> bool:
        """Whether this process's memory is full; other storages look after themselves."""
        return isinstance(self._strategy.storage, LocalStorage) and self._strategy.storage.full

    def peek(self, buckets: Sequence[Bucket]) -> Taken:
        """Say what ``take`` would, and count nothing."""
        standings = tuple(Standing.of(bucket, self._state(bucket)) for bucket in buckets)
        return Taken(admitted=all(standing.remaining for standing in standings), standings=standings)

    def take(self, buckets: Sequence[Bucket]) -> Taken:
        """Count one request in every bucket, or in none."""
        with self._lock:
            states = [(bucket, self._state(bucket)) for bucket in buckets]
            if any(state.used(bucket.window) >= bucket.window.amount for bucket, state in states):
                return Taken(
                    admitted=False, standings=tuple(Standing.of(bucket, state) for bucket, state in states)
                )
            if not all(self._strategy.hit(bucket.window, *bucket.identifiers) for bucket in buckets):
                return Taken(admitted=False, standings=self.peek(buckets).standings)
            after = tuple(Standing.of(bucket, state.one_more(bucket.window)) for bucket, state in states)
            return Taken(admitted=True, standings=after)

    def clear(self, buckets: Sequence[Bucket]) -> None:
        """Forget what was counted."""
        with self._lock:
            for bucket in buckets:
                self._strategy.clear(bucket.window, *bucket.identifiers)

    def first_use(self, key: str, seconds: int) -> bool:
        """Tell whether ``key`` is seen for the first time, and remember it for so many seconds."""
        with self._lock:
            return self._strategy.storage.incr(key, seconds) == 1

    def _state(self, bucket: Bucket) -> State:
        return self._read(self._strategy.storage, bucket)


def _fixed(storage: Any, bucket: Bucket) -> FixedState:
    count = storage.get(bucket.key)
    return FixedState(count, max(0.0, storage.get_expiry(bucket.key) - time.time()) if count else 0.0)


def _moving(storage: Any, bucket: Bucket) -> MovingState:
    window = bucket.window
    oldest, count = storage.get_moving_window(bucket.key, window.amount, window.seconds)
    return MovingState(count, max(0.0, oldest + window.seconds - time.time()))


def _sliding(storage: Any, bucket: Bucket) -> SlidingState:
    return SlidingState(*storage.get_sliding_window(bucket.key, bucket.window.seconds))


# Storages are ``Any``: each reader is used with a strategy that has checked its storage supports it.
_READERS: Final[Mapping[type[RateLimiter], Callable[[Any, Bucket], State]]] = {
    FixedWindowRateLimiter: _fixed,
    MovingWindowRateLimiter: _moving,
    SlidingWindowCounterRateLimiter: _sliding,
}
