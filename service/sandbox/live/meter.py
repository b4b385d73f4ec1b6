"""What a Live session costs: seconds, at least those that its creation has paid for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PREPAID_SECONDS = 15
"""The vendor bills these when a session is created, and credits them to one that runs."""


class Meter:
    """Counts the seconds of a session since a client connected.

    ``clock`` gives seconds that only grow; ``pauses`` says whether the session may pause, whose usage is then told
    in two parts.
    """

    def __init__(self, clock: Callable[[], float], *, pauses: bool) -> None:
        self._clock = clock
        self._pauses = pauses
        self._started: float | None = None
        self._paused: float | None = None
        self._paused_seconds = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._started = self._clock()

    def pause(self) -> None:
        """Count the seconds from now on as paused."""
        self._paused = self._clock()

    def resume(self) -> None:
        """Count the seconds from now on as active again."""
        if self._paused is not None:
            self._paused_seconds += self._clock() - self._paused
            self._paused = None

    def usage(self) -> dict[str, Any]:
        """Tell the usage so far, as ``SessionUsage`` spells it."""
        now = self._clock()
        running = 0.0 if self._started is None else now - self._started
        seconds = max(PREPAID_SECONDS, int(running))
        if not self._pauses:
            return {"seconds": seconds}
        paused = int(self._paused_seconds + (0.0 if self._paused is None else now - self._paused))
        return {"seconds": seconds, "active_seconds": seconds - paused, "paused_seconds": paused}
