"""Tokens that may be used once (``JWT_SINGLE_USE``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil

from service.limits.failover import Failover


class StorageReplayGuard:
    """Remembers each token until it expires, where limits are counted too.

    With ``local`` each process remembers for itself while the storage is away, so a token may then
    be used once in each.
    """

    def __init__(self, counter: Failover, clock: Callable[[], float] = time.time) -> None:
        self._counter = counter
        self._clock = clock

    def first_use(self, token_id: str, expires_at: int) -> bool:
        """Tell whether a token is seen for the first time. ``expires_at`` is in seconds since the epoch.

        ``token_id`` is 64 hexadecimal digits. Telling and remembering are one step.

        Raises:
            RateLimitStorageUnavailableError: the storage is away and the policy is ``deny``.
        """
        lifetime = max(1, ceil(expires_at - self._clock()))
        return self._counter.first_use(f"realtime-token/token/{token_id}", lifetime)
