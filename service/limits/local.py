"""Counting inside this process."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from math import floor
from typing import Final

from limits.storage import MemoryStorage

MOST_KEYS: Final = 100_000
"""A counter takes about 330 bytes, so these some 33 MB."""

_SMALL: Final = 1024
"""So few keys that none of them need go."""


class _NoTimer(threading.Timer):
    """A timer that never runs and always says it does, so that nobody starts one."""

    def is_alive(self) -> bool:
        return True


class LocalStorage(MemoryStorage):
    """The library's memory storage, without its timer.

    That timer goes through every key up to 100 times a second (with 20,000 keys a sixth of a core went on it)
    and races with the counting: between its look and its removal a fresh count gets lost. Here expired keys
    are removed when their number has doubled since the last time (or is at its most, and then once a second), which
    costs next to nothing a request.

    Not registered under a scheme, and counted in under a lock (see ``StrategyCounter``).
    """

    def __init__(self) -> None:
        super().__init__()
        self.timer.cancel()
        self.timer = _NoTimer(0, self.remove_expired)
        self._next_sweep_size = _SMALL
        self._next_sweep_time = 0.0

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """None: memory does not fail, and an error here is a bug that must not give anybody a fresh quota."""
        return ()

    @property
    def full(self) -> bool:
        """Whether so many keys are alive that strangers should no longer get one each."""
        return self._keys() >= MOST_KEYS

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, making room first."""
        self._make_room()
        return super().incr(key, expiry, amount)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count unless that were too many. In one step, since the caller holds the lock."""
        now = time.time()
        previous_key, current_key = self.sliding_window_keys(key, expiry, now)
        previous, previous_left, current, _ = self._get_sliding_window_info(
            previous_key, current_key, expiry, now
        )
        if floor(previous * previous_left / expiry) + current + amount > limit:
            return False
        self._make_room()
        self.storage[current_key] = current + amount
        # It counts in this window and, fading, in the next.
        self.expirations.setdefault(current_key, now + 2 * expiry)
        return True

    def _get_sliding_window_info(
        self, previous_key: str, current_key: str, expiry: int, now: float
    ) -> tuple[int, float, int, float]:
        """Read both counts. A key names its window, so one whose time is over is never asked for."""
        previous = self.storage.get(previous_key, 0)
        left = expiry - now % expiry
        return previous, left if previous else 0.0, self.storage.get(current_key, 0), left + expiry

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Log a request, making room first, and keep no more of the log than decides anything."""
        self._make_room()
        acquired = super().acquire_entry(key, limit, expiry, amount)
        if acquired:
            del self.events[key][limit:]
        return acquired

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Count the newest ``limit`` requests that ``acquire_entry`` still minds.

        The library counts beyond the limit, which a key that two tiers share may hold, and leaves out
        one of exactly the window's age, which ``acquire_entry`` does not.
        """
        now = time.time()
        newest = self.events.get(key, [])[:limit]
        count = bisect_right(newest, expiry - now, key=lambda entry: -entry.atime)
        return (newest[count - 1].atime if count else now), count

    def remove_expired(self) -> None:
        """Forget every key whose time is over."""
        for key in list(self.expirations):
            self.get(key)
        for key, events in list(self.events.items()):
            if events[0].expiry <= time.time():
                self.clear(key)

    def _make_room(self) -> None:
        doubled = self._keys() >= self._next_sweep_size
        if not doubled and not (self.full and time.monotonic() >= self._next_sweep_time):
            return
        self.remove_expired()
        self._next_sweep_size = max(_SMALL, 2 * self._keys())
        self._next_sweep_time = time.monotonic() + 1

    def _keys(self) -> int:
        return len(self.expirations) + len(self.events)
