"""Count requests exactly, in all windows of a request or in none, in memory or on Redis.

Flask-Limiter's own evaluation is not used for callers: it consumes the earlier limits of a request that a later one
refuses, shows the shortest window rather than the tightest, and takes any exception for a dead storage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from typing import Final, Protocol

from service.limits.rules import Bucket
from service.limits.strategies import (
    STATES,
    Acquisition,
    BucketStatus,
    FixedState,
    MovingState,
    SlidingState,
    State,
)
from service.store import MemoryStore, RedisStore, Store
from service.store.protocol import KEY_PREFIX, Script


class Counter(Protocol):
    """Counts requests by one strategy. ``read`` names keys to read in the same round trip."""

    def acquire(self, buckets: Sequence[Bucket], *, read: Sequence[str] = ()) -> Acquisition:
        """Count one request in every bucket, or in none."""

    def peek(self, buckets: Sequence[Bucket]) -> tuple[BucketStatus, ...]:
        """Return the state of the buckets; count nothing."""

    def clear(self, buckets: Sequence[Bucket]) -> None:
        """Forget what was counted."""


def create_counter(store: Store, strategy: str) -> Counter:
    """Choose how to count by the kind of store."""
    if isinstance(store, MemoryStore):
        return MemoryCounter(store, strategy)
    return RedisCounter(store, strategy)


class MemoryCounter:
    """Counts in this process's memory, each request under the store's lock."""

    def __init__(self, store: MemoryStore, strategy: str) -> None:
        self._store = store
        self._strategy = strategy
        self._state = STATES[strategy]

    def acquire(self, buckets: Sequence[Bucket], *, read: Sequence[str] = ()) -> Acquisition:
        """Count one request in every bucket, or in none."""
        store, strategy, states = self._store, self._state, []
        keys, admitted = [self._key(bucket) for bucket in buckets], True
        with store.lock:
            now = store.now()
            saved = [store.get(key) for key in keys]
            for bucket, value in zip(buckets, saved, strict=True):
                state = strategy.load(value, bucket.window, now)
                admitted = admitted and bucket.admits(state.used(bucket.window))
                states.append(state)
            if admitted:
                for place, bucket in enumerate(buckets):
                    store.set(keys[place], *strategy.hit(saved[place], bucket.window, now))
                    states[place] = states[place].after_hit(bucket.window)
            values = tuple([store.get(key) for key in read])
        return Acquisition(admitted, self._statuses(buckets, states), values)

    def peek(self, buckets: Sequence[Bucket]) -> tuple[BucketStatus, ...]:
        """Return the state of the buckets; count nothing."""
        store, load = self._store, self._state.load
        with store.lock:
            states = [load(store.get(self._key(each)), each.window, store.now()) for each in buckets]
        return self._statuses(buckets, states)

    def clear(self, buckets: Sequence[Bucket]) -> None:
        """Forget what was counted."""
        for bucket in buckets:
            self._store.delete(self._key(bucket))

    def has_counted(self, buckets: Sequence[Bucket]) -> bool:
        """Return whether there is a count in any of the buckets: that costs a quarter of their state."""
        return any([self._store.get(self._key(bucket)) for bucket in buckets])  # noqa: C419 - quicker for so few

    def _key(self, bucket: Bucket) -> str:
        return f"{self._strategy}/{bucket.key}"

    @staticmethod
    def _statuses(buckets: Sequence[Bucket], states: Iterable[State]) -> tuple[BucketStatus, ...]:
        return tuple([BucketStatus.from_state(*each) for each in zip(buckets, states, strict=True)])


_NUMBERS: Final[dict[str, tuple[int, Callable[..., State]]]] = {
    "sliding-window-counter": (
        4,
        lambda previous, previous_left, current, left: SlidingState(
            previous, previous_left / 1000, current, left / 1000
        ),
    ),
    "moving-window": (2, lambda count, left: MovingState(count, left / 1000)),
    "fixed-window": (2, lambda count, left: FixedState(count, left / 1000)),
}
"""How many numbers (counts, and times in milliseconds) each script answers for a window, and what they mean."""

_CLEAR = Script("clear", "return redis.call('DEL', unpack(KEYS))")


class RedisCounter:
    """Counts on Redis, every window of a request in one script: one round trip, exact for any number of processes."""

    def __init__(self, store: RedisStore, strategy: str) -> None:
        source = files(__package__).joinpath("lua", f"{strategy}.lua").read_text()
        self._store = store
        self._script = Script(strategy, source)
        self._width, self._state = _NUMBERS[strategy]

    def acquire(self, buckets: Sequence[Bucket], *, read: Sequence[str] = ()) -> Acquisition:
        """Count one request in every bucket, or in none. ``read`` holds whole key names."""
        return self._run(buckets, read, count=1)

    def peek(self, buckets: Sequence[Bucket]) -> tuple[BucketStatus, ...]:
        """Return the state of the buckets; count nothing."""
        return self._run(buckets, (), count=0).statuses

    def clear(self, buckets: Sequence[Bucket]) -> None:
        """Forget what was counted."""
        self._store.run(_CLEAR, [key for bucket in buckets for key in self._keys(bucket)])

    def _run(self, buckets: Sequence[Bucket], read: Sequence[str], *, count: int) -> Acquisition:
        keys = [key for bucket in buckets for key in self._keys(bucket)]
        arguments = [count]
        for bucket in buckets:
            amount = bucket.window.amount
            arguments += (amount if bucket.enforced else -amount, 1000 * bucket.window.seconds)
        admitted, *answer = self._store.run(self._script, [*keys, *read], arguments)
        statuses = []
        for place, bucket in enumerate(buckets):
            state = self._state(*answer[place * self._width : (place + 1) * self._width])
            counted = admitted and count
            statuses.append(
                BucketStatus.from_state(bucket, state.after_hit(bucket.window) if counted else state)
            )
        return Acquisition(bool(admitted), tuple(statuses), tuple(answer[self._width * len(buckets) :]))

    def _keys(self, bucket: Bucket) -> tuple[str, ...]:
        key = f"{KEY_PREFIX}/{self._script.name}/{bucket.key}"
        return (f"{key}/previous", key) if self._script.name == "sliding-window-counter" else (key,)
