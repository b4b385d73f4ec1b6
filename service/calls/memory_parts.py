"""What the registry in memory is made of: the store it needs, the calls, the counters of minutes, and a schedule.

Redis has its hashes and sorted sets for these. Neither locks: the registry does.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter
from typing import Any, Final, Protocol

from service import budgets
from service.budgets import MinuteLimit, MinuteStatus, Window
from service.calls.errors import CallMinutesExhaustedError
from service.calls.model import ENDED_KEPT_SECONDS, Call, CallRequest

ALL: Final = "all"
"""Whose minutes are those of all users together; no pseudonym is that short."""

SWEEP_SECONDS: Final = 60
"""How often windows that are over are dropped."""

ENDED_KEPT: Final = 10_000
"""How many ended calls are remembered at most."""


class Memory(Protocol):
    """The process's memory store, as far as it is needed here."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """A reentrant lock over everything that is kept."""

    def get(self, key: str) -> Any:
        """Return what is kept under a key, ``None`` where nothing is."""

    def now(self) -> float:
        """Seconds that only ever grow, whatever is done to the system's clock."""


class KeptCalls:
    """The calls in the order of their reservations, by user too; ended ones for an hour. Times are in milliseconds."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._active: dict[str, None] = {}
        self._users: dict[str, tuple[str, ...]] = {}  # the active calls of each
        self._ended: deque[tuple[str, int]] = deque()

    def __len__(self) -> int:
        """Count the calls that have not ended."""
        return len(self._active)

    def __getitem__(self, call_id: str) -> Call:
        return self._calls[call_id]

    def get(self, call_id: str) -> Call | None:
        """Return a call, an ended one as long as it is there."""
        return self._calls.get(call_id)

    def read(self, call_id: str, now: int) -> Call | None:
        """Return a call, an ended one for an hour."""
        call = self._calls.get(call_id)
        is_over = call and call.ended_ms is not None and call.ended_ms + 1000 * ENDED_KEPT_SECONDS <= now
        return None if is_over else call

    def active(self, user: str | None = None) -> Iterator[Call]:
        """Iterate over the calls that have not ended, of a user or of all, oldest first."""
        return (self._calls[call_id] for call_id in (self._users.get(user, ()) if user else self._active))

    def save(self, call: Call) -> Call:
        """Add a call, or put it in the place of what it was."""
        if call.id not in self._calls:
            self._active[call.id] = None
            self._users[call.user] = (*self._users.get(call.user, ()), call.id)
        elif call.ended_ms is not None and call.id in self._active:
            self._drop(call)
            self._ended.append((call.id, call.ended_ms))
        self._calls[call.id] = call
        return call

    def remove(self, call: Call) -> None:
        """Forget a call that has not ended, as if it had never been."""
        self._drop(call)
        del self._calls[call.id]

    def sweep(self, now: int) -> None:
        """Forget ended calls after an hour, or when there are too many."""
        while self._ended:
            call_id, ended_ms = self._ended[0]
            if ended_ms + 1000 * ENDED_KEPT_SECONDS > now and len(self._ended) <= ENDED_KEPT:
                break
            self._ended.popleft()
            del self._calls[call_id]

    def _drop(self, call: Call) -> None:
        del self._active[call.id]
        left = tuple(call_id for call_id in self._users.pop(call.user) if call_id != call.id)
        if left:
            self._users[call.user] = left


class MinuteCounters:
    """The windows of minutes of all users. Times are in milliseconds."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, int], Window] = {}
        self._swept = 0

    def reserve(
        self, request: CallRequest, *, now: int, new_id: int
    ) -> tuple[int, tuple[tuple[str, int], ...]]:
        """Take a call's whole time; returns its seconds, and the windows (name and id) it was taken from.

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
            exhausted = [
                (window.ends_at, owner)
                for (owner, _), limit, window in found
                if not budgets.grantable(request.seconds, [budgets.left_in(window, limit)])
            ]
            ends_at, owner = max(exhausted, key=itemgetter(0))  # of equals the first, which is the user's
            raise CallMinutesExhaustedError(
                "global" if owner == ALL else "user",
                retry_after=(ends_at - now) / 1000,
                minutes=self.status(request.user, limits.minutes, now),
            )
        self._windows |= {key: budgets.reserve(window, 1000 * seconds) for key, _, window in found}
        return seconds, tuple(
            (f"{'a' if owner == ALL else 'u'}{length}", window.id) for (owner, length), _, window in found
        )

    def give_back(self, user: str, taken_from: Sequence[tuple[str, int]], milliseconds: int) -> None:
        """Return unused time of a user's call to the windows it was taken from, where they still last."""
        for name, window_id in taken_from:
            key = (ALL if name[0] == "a" else user, int(name[1:]))
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
) -> Iterator[tuple[tuple[str, int], MinuteLimit]]:
    for owner, owned in ((user, limits), (ALL, limits_global)):
        for limit in owned:
            yield (owner, limit.length), limit


class Schedule:
    """When each of many things is due; one that is set again, or discarded, leaves a stale entry in the heap."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, int, str]] = {}
        self._heap: list[tuple[int, int, str]] = []
        self._number = 0  # what is due at the same time comes in the order in which that was said

    def set(self, name: str, at: int) -> None:
        """Say when it is due, in place of what was said before."""
        self._number += 1
        entry = self._entries[name] = (at, self._number, name)
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

    def discard(self, name: str) -> None:
        """Make it never due."""
        self._entries.pop(name, None)

    def first(self) -> int | None:
        """Tell when the first is due."""
        while self._heap:
            at, _, name = entry = self._heap[0]
            if self._entries.get(name) is entry:
                return at
            heapq.heappop(self._heap)
        return None

    def take(self, now: int, most: int) -> list[tuple[str, int]]:
        """Remove and return what is due, oldest first, at most ``most``."""
        taken: list[tuple[str, int]] = []
        while len(taken) < most and (at := self.first()) is not None and at <= now:
            name = heapq.heappop(self._heap)[-1]
            del self._entries[name]
            taken.append((name, at))
        return taken

    def count(self, now: int) -> int:
        """Count what is due."""
        return sum(at <= now for at, _, _ in self._entries.values())
