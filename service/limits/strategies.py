"""The arithmetic of the three rate limit strategies, in seconds, without I/O.

Each strategy answers the same three questions: how many requests count now (``used``), what one more
changes (``after_hit``), and how long until fewer than a ``level`` count, if no more are sent meanwhile
(``seconds_until_below``). The last is what makes ``Retry-After`` honest.

The strategies are those of the ``limits`` library: https://limits.readthedocs.io/en/stable/strategies.html. A
window of a counter begins with its first request. In memory each strategy keeps what ``hit`` returns, with times of
the memory's own clock; on Redis the Lua scripts beside this module keep the same.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import floor
from typing import Any, Final, Protocol, Self

from service.limits.rules import Bucket, Window

MARGIN: Final = 0.002
"""Seconds that a wait lasts longer than the arithmetic says: storages decide in whole milliseconds."""


class State(Protocol):
    """What a strategy knows of one window."""

    @classmethod
    def load(cls, saved: Any, window: Window, now: float) -> Self:
        """Read what ``hit`` returned last, or ``None``."""

    @staticmethod
    def hit(saved: Any, window: Window, now: float) -> tuple[Any, float]:
        """Count one request; return what to keep, and for how many seconds."""

    def used(self, window: Window) -> int:
        """Return how many requests count now."""

    def after_hit(self, window: Window) -> Self:
        """Return the state after one more request."""

    def seconds_until_below(self, level: int, window: Window) -> float:
        """Return the seconds until fewer than ``level`` requests count; ``level`` is 1 to ``used``."""


@dataclass(frozen=True, slots=True)
class FixedState:
    """``fixed-window``: a count that begins anew when its window has ended."""

    count: int
    ends_in: float

    @classmethod
    def load(cls, saved: tuple[int, float] | None, _: Window, now: float) -> Self:
        """Read the count and when its window ends."""
        return cls(saved[0], saved[1] - now) if saved else cls(0, 0.0)

    @staticmethod
    def hit(saved: tuple[int, float] | None, window: Window, now: float) -> tuple[tuple[int, float], float]:
        """Begin the window with its first request."""
        count, ends_at = saved or (0, now + window.seconds)
        return (count + 1, ends_at), ends_at - now

    def used(self, _: Window) -> int:
        """Return the count."""
        return self.count

    def after_hit(self, window: Window) -> Self:
        """Count it; the first one begins the window."""
        return type(self)(self.count + 1, self.ends_in if self.count else float(window.seconds))

    def seconds_until_below(self, _level: int, _: Window) -> float:
        """All cease to count at once."""
        return self.ends_in


@dataclass(frozen=True, slots=True)
class MovingState:
    """``moving-window``: a log of the newest requests, no more than the limit; each counts for the window's length."""

    count: int
    oldest_leaves_in: float

    @classmethod
    def load(cls, saved: list[float] | None, window: Window, now: float) -> Self:
        """Count the newest ``amount`` entries of the log, oldest first, that have not left."""
        if not saved:
            return cls(0, 0.0)
        start = max(0, len(saved) - window.amount)
        oldest = bisect_left(saved, now - window.seconds, start)
        count = len(saved) - oldest
        return cls(count, saved[oldest] + window.seconds - now if count else 0.0)

    @staticmethod
    def hit(saved: list[float] | None, window: Window, now: float) -> tuple[list[float], float]:
        """Append to the log, and keep it below twice what decides anything."""
        log = saved or []
        if len(log) >= 2 * window.amount:
            del log[: -window.amount]
        log.append(now)
        return log, float(window.seconds)

    def used(self, _: Window) -> int:
        """Return how many have not left."""
        return self.count

    def after_hit(self, window: Window) -> Self:
        """Add a request; the oldest stays the oldest."""
        return type(self)(self.count + 1, self.oldest_leaves_in if self.count else float(window.seconds))

    def seconds_until_below(self, _level: int, _: Window) -> float:
        """The log ends at the limit, so once its oldest has left there is room."""
        return self.oldest_leaves_in


@dataclass(frozen=True, slots=True)
class SlidingState:
    """``sliding-window-counter``: this window's count, and the previous one's, weighted by how much of it still counts.

    ``current_ends_in`` is when the current count ceases to matter even as a previous one: one length of the
    window after the current window ends.
    """

    previous: int
    previous_ends_in: float
    current: int
    current_ends_in: float

    @classmethod
    def load(cls, saved: tuple[int, int, float] | None, window: Window, now: float) -> Self:
        """Read both counts and when the current window ends, which may have become the previous one since."""
        if not saved:
            return cls(0, 0.0, 0, 0.0)
        previous, current, ends_at = saved
        if now >= ends_at:
            previous, current, ends_at = current, 0, ends_at + window.seconds
        return cls(previous, ends_at - now, current, ends_at - now + window.seconds)

    @staticmethod
    def hit(
        saved: tuple[int, int, float] | None, window: Window, now: float
    ) -> tuple[tuple[int, int, float], float]:
        """Begin the first window with its first request; each next one begins where the one before ends."""
        previous, current, ends_at = saved or (0, 0, now + window.seconds)
        if now >= ends_at:
            previous, current, ends_at = current, 0, ends_at + window.seconds
        return (previous, current + 1, ends_at), ends_at + window.seconds - now

    def used(self, window: Window) -> int:
        """Weight the previous count, rounded down as the library does."""
        return floor(self.previous * self.previous_ends_in / window.seconds) + self.current

    def after_hit(self, window: Window) -> Self:
        """Count it; the first one begins the window."""
        ends_in = self.current_ends_in if self.current_ends_in > 0 else 2.0 * window.seconds
        return type(self)(self.previous, self.previous_ends_in, self.current + 1, ends_in)

    def seconds_until_below(self, level: int, window: Window) -> float:
        """The weighted count only falls, first as the previous window leaves, then as the current one does."""
        fading, weight, ends_in = self.previous, level - self.current, self.previous_ends_in
        if self.current >= level:
            fading, weight, ends_in = self.current, level, self.current_ends_in
        return max(0.0, ends_in - window.seconds * weight / fading)


STATES: Final[dict[str, type[FixedState | MovingState | SlidingState]]] = {
    "sliding-window-counter": SlidingState,
    "moving-window": MovingState,
    "fixed-window": FixedState,
}


@dataclass(frozen=True, slots=True)
class BucketStatus:
    """How one bucket stands.

    ``wait`` is in seconds until it admits a request, 0 where it does now or is not enforced; ``renews_in`` in
    seconds until more is left than now.
    """

    bucket: Bucket
    remaining: int
    wait: float
    renews_in: float

    @classmethod
    def from_state(cls, bucket: Bucket, state: State) -> Self:
        """Read it off the state."""
        window = bucket.window
        used = state.used(window)
        level = min(used, window.amount)
        renews_in = state.seconds_until_below(level, window) if level else 0.0
        wait = 0.0 if bucket.admits(used) else renews_in + MARGIN
        return cls(bucket, window.amount - level, wait, renews_in)

    @property
    def admits(self) -> bool:
        """Whether one more request may pass."""
        return not self.wait


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What came of asking several buckets for one request: all gave it, or none did.

    ``values`` are those of the keys that were to be read in the same round trip, ``None`` where there is none.
    """

    admitted: bool
    statuses: tuple[BucketStatus, ...]
    values: tuple[Any, ...] = ()
