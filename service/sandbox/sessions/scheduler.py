"""Events that a session sends later by itself: several streams, each at its own pace."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count

from service.sandbox.sessions.events import Event

Clock = Callable[[], float]
"""Returns seconds; how they count is said where a clock is used."""

TimedEvents = Iterator[tuple[list[Event], float]]
"""Events to send now, and the seconds to wait before the next ones."""


class Scheduler:
    """Runs several named streams of events side by side; the caller asks it what is due.

    ``clock`` returns monotonic seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._order = count()
        self._waiting: list[tuple[float, int, str]] = []
        self._streams: dict[str, TimedEvents] = {}

    def start(self, name: str, events: TimedEvents, *, delay: float = 0.0) -> None:
        """Start a stream after ``delay`` seconds, replacing one of the same name."""
        self.stop(name)
        self._streams[name] = events
        self._wait(name, delay)

    def stop(self, name: str) -> None:
        """Drop a stream, if it exists."""
        self._streams.pop(name, None)
        self._waiting = [entry for entry in self._waiting if entry[2] != name]
        heapq.heapify(self._waiting)

    def due_in(self) -> float | None:
        """Return the seconds until something is due, or None if nothing is scheduled."""
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0][0] - self._clock())

    def advance(self) -> list[Event]:
        """Return all events that are due."""
        events: list[Event] = []
        while self._waiting and self._waiting[0][0] <= self._clock():
            _, _, name = heapq.heappop(self._waiting)
            stream = self._streams[name]
            ready, pause = next(stream, (None, 0.0))
            if ready is None:
                self._streams.pop(name)
                continue
            events += ready
            if self._streams.get(name) is stream:  # running it may have stopped or replaced it
                self._wait(name, pause)
        return events

    def _wait(self, name: str, delay: float) -> None:
        heapq.heappush(self._waiting, (self._clock() + delay, next(self._order), name))
