"""What is counted: windows, and whose requests they count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from limits import RateLimitItem, RateLimitItemPerSecond

Scope = Literal["user", "global", "address"]

_UNITS: Final = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


class Window(RateLimitItemPerSecond):
    """At most ``amount`` requests within a number of seconds.

    Unlike the library's own items, the key leaves the amount out: a user whose new token names another tier,
    or whose admin changed a limit, goes on with the count already there and finds no fresh bucket.
    """

    __slots__ = ()

    def __init__(self, amount: int, seconds: int) -> None:
        super().__init__(amount, seconds, namespace="realtime-token")

    @property
    def seconds(self) -> int:
        """How long the window is."""
        return self.multiples

    @property
    def span(self) -> str:
        """How long the window is, in words: ``1 minute``."""
        unit, length = next((unit, length) for unit, length in _UNITS if self.seconds % length == 0)
        number = self.seconds // length
        return f"{number} {unit}{'s' if number > 1 else ''}"

    def key_for(self, *identifiers: bytes | str | float) -> str:
        """Name the counter: ``realtime-token/user/IDENTITY/60``."""
        return "/".join([self.namespace, *map(str, identifiers), str(self.seconds)])


def windows_of(items: Iterable[RateLimitItem]) -> tuple[Window, ...]:
    """One window for each length, the strictest, shortest first: two of one length would share a counter."""
    strictest: dict[int, int] = {}
    for item in items:
        seconds = item.get_expiry()
        strictest[seconds] = min(item.amount, strictest.get(seconds, item.amount))
    return tuple(Window(amount, seconds) for seconds, amount in sorted(strictest.items()))


@dataclass(frozen=True, slots=True)
class Bucket:
    """One window of one user, of one address, or of everybody together (``identity`` then says ``all``)."""

    scope: Scope
    identity: str
    window: Window

    @property
    def identifiers(self) -> tuple[str, str]:
        """What the ``limits`` library builds the key from."""
        return self.scope, self.identity

    @property
    def key(self) -> str:
        """The counter's name in the storage."""
        return self.window.key_for(*self.identifiers)


PROBE: Final = Bucket("global", "probe", Window(1000, 1))
"""A bucket that nobody's requests count in: taking from it shows that the storage can count."""
