"""Minutes of calls: what a limit leaves, what a call reserves, and what it is charged in the end.

Pure arithmetic in whole milliseconds, so that sums stay exact. The registry that keeps calls in memory computes with
these functions; the script for Redis does the same inside Redis, and one test holds both to one model.

A window is fixed: it begins with the first reservation after the one before has ended. A call takes its whole time
when it is opened, and what it did not use goes back to the windows it was taken from, as long as they last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from limits import parse_many

MINIMUM_GRANT: Final = 30
"""Minimum seconds left with which a call is opened."""

MINIMUM_CHARGE: Final = 15
"""Minimum charge in seconds: the vendor's own for a Live session, and that of a call of unknown outcome."""

_UNITS: Final = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_EXAMPLE: Final = "60/day;600/month"
_MOST_MINUTES: Final = 1_000_000_000
_LONGEST: Final = 10 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class MinuteLimit:
    """At most ``amount`` seconds of calls in each window of ``length`` seconds."""

    amount: int
    length: int

    def __str__(self) -> str:
        """Write it in words: ``30 minutes in 1 day``."""
        return f"{self.amount / 60:g} minutes in {span_in_words(self.length)}"


def span_in_words(seconds: int) -> str:
    """Write the length of a window: ``1 minute``, ``30 days``."""
    unit, length = next((unit, length) for unit, length in _UNITS if seconds % length == 0)
    number = seconds // length
    return f"{number} {unit}{'s' if number > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Window:
    """One window that has begun: its id, when it ends, and how much of it is used (both in milliseconds)."""

    id: int
    ends_at: int
    used: int = 0


@dataclass(frozen=True, slots=True)
class MinuteStatus:
    """How a limit stands: seconds ``left`` in its window, which ends in ``resets_in`` seconds."""

    limit: MinuteLimit
    left: int
    resets_in: float


def parse_minutes(text: str) -> tuple[MinuteLimit, ...]:
    """Read limits in minutes (``60/day;600/month``), the shortest window first.

    Of two limits on windows of one length the stricter counts, since they share a counter.

    Raises:
        ValueError: where the notation is wrong, or a limit would never let a call be opened.
    """
    try:
        items = parse_many(text)
    except ValueError:
        raise ValueError(
            f"is not a limit in minutes; write for example {_EXAMPLE} (hour, day, month or year)"
        ) from None
    strictest: dict[int, int] = {}
    for item in items:
        amount, length = item.amount, item.get_expiry()
        if amount < 1 or length < 1:
            raise ValueError(f"would never let a call be opened; write for example {_EXAMPLE}")
        if amount > _MOST_MINUTES or length > _LONGEST:
            raise ValueError(f"exceeds 1,000,000,000 minutes or ten years; write for example {_EXAMPLE}")
        strictest[length] = min(60 * amount, strictest.get(length, 60 * amount))
    return tuple(MinuteLimit(amount, length) for length, amount in sorted(strictest.items()))


def current_window(window: Window | None, limit: MinuteLimit, *, now: int, new_id: int) -> Window:
    """Return the window that a reservation made ``now`` counts in: the one there is, or a new one."""
    if window is None or window.ends_at <= now:
        return Window(new_id, now + 1000 * limit.length)
    return window


def left_in(window: Window, limit: MinuteLimit) -> int:
    """Return how much is left, in milliseconds; nothing where the limit was lowered below what is used."""
    return max(0, 1000 * limit.amount - window.used)


def grantable(wanted: int, left: Iterable[int]) -> int:
    """Return how many whole seconds a call may have: ``wanted``, or what every window has left; 0 for under 30 s.

    ``wanted`` is in seconds, ``left`` in milliseconds for each window.
    """
    seconds = min([wanted, *(milliseconds // 1000 for milliseconds in left)])
    return seconds if seconds >= MINIMUM_GRANT else 0


def reserve(window: Window, milliseconds: int) -> Window:
    """Take a call's whole time out of a window."""
    return replace(window, used=window.used + milliseconds)


def give_back(window: Window | None, taken_from: int, milliseconds: int) -> Window | None:
    """Return unused time to the window it was taken from; a later one of the same limit is left as it is."""
    if window is None or window.id != taken_from:
        return window
    return replace(window, used=max(0, window.used - milliseconds))


def charge(reserved: int, elapsed: int, told: int | None = None) -> int:
    """Return what a call costs that was open for ``elapsed``: never under 15 s, never over what was reserved.

    ``told`` is what the vendor says it bills, where it does (Live's ``usage.seconds``). All in milliseconds.
    """
    return min(reserved, max(1000 * MINIMUM_CHARGE, elapsed if told is None else told))
