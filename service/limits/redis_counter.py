"""Counting on Redis and Valkey: every window of a request in one script, so in one round trip.

The scripts keep the very keys that the ``limits`` library's strategies keep, so that its reading and clearing
go on working; they differ in taking all windows together or none, which makes them exact for any number
of processes, and in answering how the windows stand, which is what the headers need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from limits.storage import RedisStorage
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)

from service.limits.counter import StrategyCounter
from service.limits.state import FixedState, MovingState, SlidingState, Standing, State, Taken
from service.limits.window import Bucket


class RedisCounter(StrategyCounter):
    """One Redis server (or its Sentinels), any strategy. Not a cluster: one script reaches one node only."""

    def __init__(self, strategy: RateLimiter, storage: RedisStorage) -> None:
        super().__init__(strategy)
        self._dialect = _DIALECTS[type(strategy)]
        self._prefixed = storage.prefixed_key
        # Registering only hashes the text: nothing is sent before the first request.
        self._script: Callable[..., list[int]] = storage.get_connection().register_script(
            self._dialect.script
        )

    def take(self, buckets: Sequence[Bucket]) -> Taken:
        """Count one request in every bucket, or in none, in one round trip."""
        keys = [self._prefixed(key) for bucket in buckets for key in self._dialect.keys(bucket.key)]
        arguments = [
            number for bucket in buckets for number in (bucket.window.amount, 1000 * bucket.window.seconds)
        ]
        admitted, *numbers = self._script(keys, arguments)
        width = len(numbers) // len(buckets)
        standings = []
        for place, bucket in enumerate(buckets):
            state = self._dialect.state(*numbers[place * width : (place + 1) * width])
            standings.append(Standing.of(bucket, state.one_more(bucket.window) if admitted else state))
        return Taken(bool(admitted), tuple(standings))


@dataclass(frozen=True, slots=True)
class _Dialect:
    """A strategy's script, the keys it takes, and what its answer (milliseconds) means."""

    script: bytes
    keys: Callable[[str], tuple[str, ...]]
    state: Callable[..., State]


def _read(strategy: str) -> bytes:
    return files(__package__).joinpath("lua", f"{strategy}.lua").read_bytes()


def _sliding(previous: int, previous_left: int, current: int, current_left: int) -> State:
    return SlidingState(previous, previous_left / 1000, current, current_left / 1000)


_DIALECTS: Final[Mapping[type[RateLimiter], _Dialect]] = {
    SlidingWindowCounterRateLimiter: _Dialect(
        script=_read("sliding-window-counter"),
        # The braces are the library's: they keep both counters on one node of a cluster.
        keys=lambda key: (f"{{{key}}}/-1", f"{{{key}}}"),
        state=_sliding,
    ),
    FixedWindowRateLimiter: _Dialect(
        script=_read("fixed-window"),
        keys=lambda key: (key,),
        state=lambda count, left: FixedState(count, left / 1000),
    ),
    MovingWindowRateLimiter: _Dialect(
        script=_read("moving-window"),
        keys=lambda key: (key,),
        state=lambda count, left: MovingState(count, left / 1000),
    ),
}
