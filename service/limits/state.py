"""What a storage knows of one window, by strategy, and what follows from it. Pure arithmetic, in seconds.

Each strategy answers the same three questions: how many requests count now (``used``), what one more
changes (``one_more``), and how long until fewer than a ``level`` count, if nobody takes any more meanwhile
(``until_below``). The last is what makes ``Retry-After`` honest.

The strategies are those of the ``limits`` library: https://limits.readthedocs.io/en/stable/strategies.html
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Final, Protocol, Self

from service.limits.window import Bucket, Window

MARGIN: Final = 0.002
"""Storages decide in whole milliseconds: a wait lasts this much longer than the arithmetic says."""


class State(Protocol):
    """What a storage knows of one window."""

    def used(self, window: Window) -> int:
        """How many requests count now."""

    def one_more(self, window: Window) -> Self:
        """The state after one more request."""

    def until_below(self, level: int, window: Window) -> float:
        """Seconds until fewer than ``level`` requests count; ``level`` is at least 1 and at most ``used``."""


@dataclass(frozen=True, slots=True)
class FixedState:
    """``fixed-window``: a count that begins anew when its window has ended."""

    count: int
    ends_in: float

    def used(self, _: Window) -> int:
        """All of them."""
        return self.count

    def one_more(self, window: Window) -> FixedState:
        """The first request begins the window."""
        return FixedState(self.count + 1, self.ends_in if self.count else window.seconds)

    def until_below(self, _level: int, _: Window) -> float:
        """All leave at once."""
        return self.ends_in


@dataclass(frozen=True, slots=True)
class MovingState:
    """``moving-window``: a log of the newest requests, no more than the limit; each counts for the window's length."""

    count: int
    oldest_leaves_in: float

    def used(self, _: Window) -> int:
        """All that have not left."""
        return self.count

    def one_more(self, window: Window) -> MovingState:
        """The oldest stays the oldest."""
        return MovingState(self.count + 1, self.oldest_leaves_in if self.count else window.seconds)

    def until_below(self, _level: int, _: Window) -> float:
        """The log ends at the limit, so once its oldest has left there is room."""
        return self.oldest_leaves_in


@dataclass(frozen=True, slots=True)
class SlidingState:
    """``sliding-window-counter``: this window's count, and the previous one's by the share of it still in sight.

    ``current_ends_in`` is, as the library keeps it, when the current count ceases to matter even as a previous
    one: one length of the window after the current window ends.
    """

    previous: int
    previous_ends_in: float
    current: int
    current_ends_in: float

    def used(self, window: Window) -> int:
        """Weighted, and rounded down as the library does."""
        return floor(self.previous * self.previous_ends_in / window.seconds) + self.current

    def one_more(self, window: Window) -> SlidingState:
        """The first request begins the window."""
        ends_in = self.current_ends_in if self.current_ends_in > 0 else 2 * window.seconds
        return SlidingState(self.previous, self.previous_ends_in, self.current + 1, ends_in)

    def until_below(self, level: int, window: Window) -> float:
        """The weighted count only falls, first as the previous window leaves, then as the current one does."""
        fading, weight, ends_in = self.previous, level - self.current, self.previous_ends_in
        if self.current >= level:
            fading, weight, ends_in = self.current, level, self.current_ends_in
        return max(0.0, ends_in - window.seconds * weight / fading)


@dataclass(frozen=True, slots=True)
class Standing:
    """How one bucket stands.

    ``wait`` is in seconds until it admits a request, 0 where it does now; ``renews_in`` in seconds until
    more is left than now.
    """

    bucket: Bucket
    remaining: int
    wait: float
    renews_in: float

    @classmethod
    def of(cls, bucket: Bucket, state: State) -> Standing:
        """Read it off the state."""
        window = bucket.window
        used = state.used(window)
        level = min(used, window.amount)
        renews_in = state.until_below(level, window) if level else 0.0
        remaining = window.amount - level
        return cls(bucket, remaining, 0.0 if remaining else renews_in + MARGIN, renews_in)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of asking several buckets for one request: all gave it, or none did."""

    admitted: bool
    standings: tuple[Standing, ...]
