"""Remember tokens that may be used once (``JWT_SINGLE_USE``), where limits are counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil
from typing import Final

from service.core.errors import StorageFailureError
from service.store import MemoryStore, Store
from service.store.protocol import KEY_PREFIX, Script

_FIRST_USE: Final = Script(
    "first-use", "return redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) and 1 or 0"
)


class SingleUse:
    """Remembers each used token until it expires, for all processes that share the store.

    With ``RATE_LIMIT_ON_STORAGE_FAILURE=local`` each process remembers for itself while the storage is
    unavailable, so a token may then be used once in each.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def first_use(self, token_id: str, expires_at: int) -> bool:
        """Return whether this token is new, and remember it until ``expires_at`` (seconds since the epoch).

        ``token_id`` is 64 hexadecimal digits. Telling and remembering are one step: of two requests at the
        same time exactly one is first.

        Raises:
            RateLimitStorageUnavailableError: the storage is unavailable and the policy is ``deny``, or no connection
                was free.
        """
        key = f"{KEY_PREFIX}/token/{token_id}"
        seconds = max(1, ceil(expires_at - self._clock()))
        if isinstance(self._store, MemoryStore):
            return _remember(self._store, key, seconds)
        try:
            return bool(self._store.run(_FIRST_USE, [key], [seconds]))
        except StorageFailureError:
            if self._store.fallback is None:
                raise
            return _remember(self._store.fallback, key, seconds)


def _remember(memory: MemoryStore, key: str, seconds: float) -> bool:
    with memory.lock:
        if memory.get(key):
            return False
        memory.set(key, 1, seconds)
        return True
