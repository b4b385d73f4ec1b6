"""Bound what a keeper asks the vendor: so much at once, and so much a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Threads:
    """Does each piece of work in a thread of its own (under gevent a greenlet).

    ``room`` is how many more may be begun; those that hang count until they end. Whoever begins work looks first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._busy = 0

    @property
    def room(self) -> int:
        """How many more may be begun now."""
        return max(0, self._most - self._busy)

    def start(self, work: Callable[[], None]) -> bool:
        """Do some work in a thread; return ``False`` where the system has no more threads to give."""

        def run() -> None:
            try:
                work()
            finally:
                self._count(-1)

        thread = threading.Thread(target=run, name="call-keeping", daemon=True)
        self._count(1)
        try:
            thread.start()
        except RuntimeError as error:
            _log.warning("cannot start a thread to end or check a call, will retry: %s", error)
            self._count(-1)
            return False
        return True

    def _count(self, change: int) -> None:
        with self._lock:
            self._busy += change


class Rate:
    """A rate limit: ``per_second``, of which a quarter may be taken at once."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._most = per_second / 4
        self._left = self._most
        self._at = time.monotonic()

    def available(self) -> int:
        """Return how many may be taken now."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        return max(0, int(self._left))

    def take(self, number: int) -> None:
        """Take as many as were available, or fewer."""
        self._left -= number
