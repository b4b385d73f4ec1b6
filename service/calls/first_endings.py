"""Which endings are let through although the caller's limit of such requests is used up."""

from __future__ import annotations

import threading
from typing import Final

from service.calls.bounds import Rate
from service.calls.own import OwnCalls

ASKED_PER_SECOND: Final = 40
"""How many endings of calls that another process may have opened are let through in a second, for all users."""

TRIED_KEPT: Final = 1000
"""How many endings are remembered, so that the same one is not let through again."""


class FirstEndings:
    """The first ending of each call, as far as this process knows. Safe to use from several threads.

    A call that this process opened is known without a look into the storage. Of others only the storage knows, where it
    is ``shared``; it is asked seldom enough to cost nothing, whatever ids are made up.
    """

    def __init__(self, own: OwnCalls, *, shared: bool) -> None:
        self._own = own
        self._shared = shared
        self._rate = Rate(ASKED_PER_SECOND)
        self._tried: dict[tuple[str, str], None] = {}
        self._lock = threading.Lock()

    def admits(self, call_id: str, user: str) -> bool:
        """Return whether a user may try to end a call."""
        with self._lock:
            if (user, call_id) in self._tried:
                return False
            return self._own.has(call_id, user) or (self._shared and self._take())

    def note(self, call_id: str, user: str) -> None:
        """Note that a user has tried to end a call, and that the storage has answered."""
        with self._lock:
            self._tried[user, call_id] = None
            if len(self._tried) > TRIED_KEPT:
                del self._tried[next(iter(self._tried))]

    def _take(self) -> bool:
        if not self._rate.available():
            return False
        self._rate.take(1)
        return True
