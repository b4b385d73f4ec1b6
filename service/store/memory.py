"""Storage in this process's memory: bounded, with expiry, and with a monotonic clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from service.core.errors import StorageFailureError

MAX_KEYS: Final = 200_000
"""A counter takes about 330 bytes, so these some 66 MB."""

_SMALL: Final = 1024
"""Number of keys up to which removing expired ones can wait."""


class MemoryStore:
    """Values by key, each with an expiry. Several steps are made one by holding ``lock``.

    Expired keys are removed when the number of keys has doubled since the last time, which costs next to nothing
    a request. ``clock`` gives seconds that never go back (``time.monotonic``): setting the host's clock neither
    lengthens nor shortens a window.
    """

    state: Final = "ok"

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, max_keys: int = MAX_KEYS) -> None:
        self.lock = threading.RLock()
        self._clock = clock
        self._max_keys = max_keys
        self._entries: dict[str, tuple[Any, float]] = {}
        self._next_sweep_size = _SMALL
        self._next_sweep_time = clock()

    def __len__(self) -> int:
        """Count the keys, expired ones that were not yet removed included."""
        return len(self._entries)

    def now(self) -> float:
        """Return seconds since some moment; they go on when the host's clock is set."""
        return self._clock()

    def probe(self) -> str:
        """Say ``ok``: memory does not fail."""
        return self.state

    @property
    def at_capacity(self) -> bool:
        """Whether there is no room for further keys."""
        return len(self._entries) >= self._max_keys

    def get(self, key: str) -> Any:
        """Return a value, or ``None`` where there is none or its time is over."""
        value, expires_at = self._entries.get(key, (None, 0.0))
        return value if self._clock() < expires_at else None

    def set(self, key: str, value: Any, seconds: float) -> None:
        """Keep a value for ``seconds``; to be called while holding ``lock``, which costs as much as all of this.

        Raises:
            StorageFailureError: the key is new and the memory full. Nothing that is alive is ever dropped for it:
                that would give somebody a fresh limit.
        """
        if key not in self._entries:
            self._make_room()
        self._entries[key] = (value, self._clock() + seconds)

    def delete(self, key: str) -> None:
        """Forget a key, if it is there."""
        with self.lock:
            self._entries.pop(key, None)

    def _make_room(self) -> None:
        if len(self._entries) < self._next_sweep_size:
            return
        now = self._clock()
        if not self.at_capacity or now >= self._next_sweep_time:
            # At capacity once a second, or every new key would look through all of them.
            self._next_sweep_time = now + 1
            self._entries = {key: entry for key, entry in self._entries.items() if now < entry[1]}
            self._next_sweep_size = min(max(_SMALL, 2 * len(self._entries)), self._max_keys)
        if self.at_capacity:
            raise StorageFailureError(
                f"this process's memory holds {self._max_keys} keys, the most it may; "
                "set RATE_LIMIT_STORAGE_URL to a Redis"
            )
