"""Counting inside this process."""

from __future__ import annotations

import threading
import time
from typing import Final

from limits.storage import MemoryStorage

MOST_KEYS: Final = 100_000
"""A counter takes about half a kilobyte: some 50 MB at the most."""


class _NoTimer(threading.Timer):
    """A timer that never runs and always says it does, so that nobody starts one."""

    def is_alive(self) -> bool:
        return True


class LocalStorage(MemoryStorage):
    """The library's memory storage, without its timer.

    That timer goes through every key up to 100 times a second (measured with 20,000 keys: most of a core) and
    races with the counting: between its look and its removal a fresh count gets lost. Here expired keys are
    removed when their number has doubled since the last time, which costs next to nothing a request.

    Not registered under a scheme, and counted in under a lock (see ``StrategyCounter``).
    """

    def __init__(self) -> None:
        super().__init__()
        self.timer.cancel()
        self.timer = _NoTimer(0, self.remove_expired)
        self._next_sweep = 1024

    @property
    def full(self) -> bool:
        """Whether so many keys are alive that strangers should no longer get one each."""
        return self._keys() >= MOST_KEYS

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, making room first."""
        self._sweep_when_doubled()
        return super().incr(key, expiry, amount)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Log a request, making room first, and keep no more of the log than decides anything."""
        self._sweep_when_doubled()
        acquired = super().acquire_entry(key, limit, expiry, amount)
        if acquired:
            del self.events[key][limit:]
        return acquired

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Look at the newest ``limit`` requests, as the library's Redis storage does; a key may hold more."""
        start, count = super().get_moving_window(key, limit, expiry)
        return (self.events[key][limit - 1].atime, limit) if count > limit else (start, count)

    def remove_expired(self) -> None:
        """Forget every key whose time is over."""
        for key in list(self.expirations):
            self.get(key)
        for key, events in list(self.events.items()):
            if not events or events[0].expiry <= time.time():
                self.clear(key)

    def _sweep_when_doubled(self) -> None:
        if self._keys() >= self._next_sweep:
            self.remove_expired()
            self._next_sweep = max(1024, 2 * self._keys())

    def _keys(self) -> int:
        return len(self.expirations) + len(self.events)
