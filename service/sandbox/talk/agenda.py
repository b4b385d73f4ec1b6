"""What a session is going to send without being asked again: streams of events, each at its pace."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count

from service.sandbox.talk.server_events import Event

Clock = Callable[[], float]
"""Seconds that only ever grow."""

Steps = Iterator[tuple[list[Event], float]]
"""Events, and how many seconds to wait before going on."""


class Agenda:
    """Runs several streams side by side, by a clock that is asked and never waited for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._order = count()
        self._waiting: list[tuple[float, int, str]] = []
        self._streams: dict[str, Steps] = {}

    def start(self, name: str, steps: Steps, *, delay: float = 0.0) -> None:
        """Begin a stream, in place of one of the same name."""
        self.stop(name)
        self._streams[name] = steps
        self._wait(name, delay)

    def stop(self, name: str) -> None:
        """Drop a stream where it is."""
        self._streams.pop(name, None)
        self._waiting = [entry for entry in self._waiting if entry[2] != name]
        heapq.heapify(self._waiting)

    def due_in(self) -> float | None:
        """Seconds until there is something to send; None while nothing is planned."""
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0][0] - self._clock())

    def advance(self) -> list[Event]:
        """Give out everything that is due by now."""
        events: list[Event] = []
        while self._waiting and self._waiting[0][0] <= self._clock():
            _, _, name = heapq.heappop(self._waiting)
            stream = self._streams[name]
            ready, pause = next(stream, (None, 0.0))
            if ready is None:
                self._streams.pop(name)
                continue
            events += ready
            if self._streams.get(name) is stream:  # it may have stopped or replaced itself just now
                self._wait(name, pause)
        return events

    def _wait(self, name: str, delay: float) -> None:
        heapq.heappush(self._waiting, (self._clock() + delay, next(self._order), name))
