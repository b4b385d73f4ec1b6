"""What the registry in memory is made of: a schedule, and the counters of minutes.

Redis has its sorted sets and hashes for these. Neither locks: the registry does.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Final

from service import budgets
from service.budgets import MinuteLimit, MinuteStatus, Window
from service.calls.model import CallRequest
from service.core.errors import CallMinutesExhaustedError

SWEEP_SECONDS: Final = 60
"""How often windows that are over are dropped."""


class MinuteCounters:
    """The windows of minutes of all users. Times are in milliseconds."""

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}
        self._swept = 0

    def reserve(
        self, request: CallRequest, *, now: int, new_id: int
    ) -> tuple[int, tuple[tuple[str, int], ...]]:
        """Take a call's whole time; returns its seconds, and the windows (key and id) it was taken from.

        Raises:
            CallMinutesExhaustedError: where too little is left in some window; nothing was taken then.
        """
        limits = request.limits
        found = [
            (key, limit, budgets.current_window(self._windows.get(key), limit, now=now, new_id=new_id))
            for key, limit in _keys(request.user, limits.minutes, limits.minutes_global)
        ]
        seconds = budgets.grantable(
            request.seconds, (budgets.left_in(window, limit) for _, limit, window in found)
        )
        if not seconds:
            ends_at, key = max(
                (window.ends_at, key)
                for key, limit, window in found
                if not budgets.grantable(request.seconds, [budgets.left_in(window, limit)])
            )
            raise CallMinutesExhaustedError(
                "global" if key.startswith("all:") else "user",
                retry_after=(ends_at - now) / 1000,
                minutes=self.status(request.user, limits.minutes, now),
            )
        self._windows |= {key: budgets.reserve(window, 1000 * seconds) for key, _, window in found}
        return seconds, tuple((key, window.id) for key, _, window in found)

    def give_back(self, taken_from: Sequence[tuple[str, int]], milliseconds: int) -> None:
        """Return unused time to the windows it was taken from, where they still last."""
        for key, window_id in taken_from:
            if window := budgets.give_back(self._windows.get(key), window_id, milliseconds):
                self._windows[key] = window

    def status(self, user: str, limits: Sequence[MinuteLimit], now: int) -> tuple[MinuteStatus, ...]:
        """Tell how a user's limits stand."""
        statuses = []
        for key, limit in _keys(user, limits):
            window = budgets.current_window(self._windows.get(key), limit, now=now, new_id=0)
            left, resets_in = budgets.left_in(window, limit) // 1000, (window.ends_at - now) / 1000
            statuses.append(MinuteStatus(limit, left, resets_in))
        return tuple(statuses)

    def sweep(self, now: int) -> None:
        """Drop windows that are over, once a minute: it looks at all of them."""
        if now >= self._swept + 1000 * SWEEP_SECONDS:
            self._swept = now
            self._windows = {key: window for key, window in self._windows.items() if window.ends_at > now}


def _keys(
    user: str, limits: Sequence[MinuteLimit], limits_global: Sequence[MinuteLimit] = ()
) -> Iterator[tuple[str, MinuteLimit]]:
    for owner, owned in ((f"user:{user}", limits), ("all", limits_global)):
        for limit in owned:
            yield f"{owner}:{limit.length}", limit


class Schedule:
    """When each of many things is due; one that is set again, or discarded, leaves a stale entry in the heap."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, int]] = {}
        self._heap: list[tuple[int, int, str]] = []
        self._number = 0  # what is due at the same time comes in the order in which that was said

    def set(self, name: str, at: int) -> None:
        """Say when it is due, in place of what was said before."""
        self._number += 1
        self._entries[name] = (at, self._number)
        heapq.heappush(self._heap, (at, self._number, name))
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [(*entry, name) for name, entry in self._entries.items()]
            heapq.heapify(self._heap)

    def discard(self, name: str) -> None:
        """Make it never due."""
        self._entries.pop(name, None)

    def first(self) -> int | None:
        """Tell when the first is due."""
        while self._heap:
            at, number, name = self._heap[0]
            if self._entries.get(name) == (at, number):
                return at
            heapq.heappop(self._heap)
        return None

    def take(self, now: int, most: int) -> list[tuple[str, int]]:
        """Remove and return what is due, oldest first, at most so many."""
        taken: list[tuple[str, int]] = []
        while len(taken) < most and (at := self.first()) is not None and at <= now:
            name = heapq.heappop(self._heap)[-1]
            del self._entries[name]
            taken.append((name, at))
        return taken

    def count(self, now: int) -> int:
        """Count what is due."""
        return sum(at <= now for at, _ in self._entries.values())
