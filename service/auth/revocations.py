"""Users whose JWTs, issued up to a moment, are refused though they have not expired; kept where limits are counted.

No ban: the identity provider may issue new ones, so the user must be blocked there too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil
from typing import Any, Final

from service.core.errors import InvalidTokenError
from service.core.model import Caller
from service.store import MemoryStore, Store
from service.store.protocol import KEY_PREFIX, Script

_REVOKE: Final = Script(
    "revoke",
    """
    local old, new = tonumber(redis.call('GET', KEYS[1]) or '-1'), tonumber(ARGV[1])
    local left = math.max(redis.call('TTL', KEYS[1]), 0)
    local stands = string.format('%.17g', math.max(old, new))  -- a number would be answered without its fraction
    redis.call('SET', KEYS[1], stands, 'EX', math.max(left, ARGV[2]))
    return stands
    """,
)


class Revocations:
    """Which users' tokens are revoked. A ``PiggybackCheck`` of the limits: looking costs no round trip of its own.

    ``max_lifetime`` and ``leeway`` are in seconds; after as long, and the leeway at both ends, any revoked token has
    expired. In memory they last until the process ends, and while a Redis is unavailable nothing can be looked up.
    """

    def __init__(
        self,
        store: Store,
        *,
        max_lifetime: int,
        leeway: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._kept = max_lifetime + 2 * leeway
        self._leeway = leeway
        self._clock = clock

    @property
    def default_issued_before(self) -> float:
        """Now, and the leeway more: the clocks of issuers differ."""
        return self._clock() + self._leeway

    def revoke(self, user: str, issued_before: float | None = None) -> float:
        """Refuse what was issued to a user (a pseudonym) until then, in seconds since the epoch, that moment included.

        An earlier moment than one that stands changes nothing. Returns the one that stands now.

        Raises:
            RateLimitStorageUnavailableError: the storage is unavailable.
        """
        issued_before = self.default_issued_before if issued_before is None else issued_before
        key = _key(user)
        if not isinstance(self._store, MemoryStore):
            return float(self._store.run(_REVOKE, [key], [issued_before, self._kept_seconds(issued_before)]))
        with self._store.lock:
            issued_before = max(issued_before, self._store.get(key) or 0)
            self._store.set(key, issued_before, self._kept_seconds(issued_before))
            return issued_before

    def _kept_seconds(self, issued_before: float) -> int:
        return self._kept + max(0, ceil(issued_before - self.default_issued_before))

    def key(self, caller: Caller) -> str:
        """Name what is read for a caller."""
        return _key(caller.pseudonym)

    def check(self, caller: Caller, value: Any) -> None:
        """Refuse a token that was revoked; one without ``iat`` as well, since it does not tell when it was issued.

        Raises:
            InvalidTokenError: it was.
        """
        if value is None:
            return
        issued_before, issued_at = float(value), caller.claims.get("iat")
        if not isinstance(issued_at, int | float) or issued_at <= issued_before:
            raise InvalidTokenError(
                f"revoked: tokens of this user are refused that were issued up to {issued_before:.15g}",
                cause="revoked",
            )


def _key(user: str) -> str:
    return f"{KEY_PREFIX}/revoked/{user}"
