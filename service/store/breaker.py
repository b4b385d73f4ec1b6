"""A circuit breaker: after a failure no request waits for the storage until it works again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

PROBE_INTERVAL: Final = 1.0
"""Seconds between two looks whether the storage is back."""

_log = logging.getLogger(__name__)


class Breaker:
    """Open from a failure until ``probe``, which a background thread calls once a second, returns."""

    def __init__(self, probe: Callable[[], object]) -> None:
        self._probe = probe
        self._open = False
        self._opening = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the storage is known to be unavailable."""
        return self._open

    def open(self, error: Exception) -> None:
        """Stop using the storage, for this reason."""
        with self._opening:
            if self._open:
                return
            self._open = True
        _log.error("rate limit storage failed (%s: %s); retrying every second", type(error).__name__, error)
        threading.Thread(target=self._wait_until_back, name="storage-probe", daemon=True).start()

    def _wait_until_back(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(PROBE_INTERVAL)
            try:
                self._probe()
            except Exception:  # noqa: BLE001, S112 - whatever it is, the storage does not work yet
                continue
            self._open = False
            _log.warning("rate limit storage is back")
            return
