"""The calls that this process opened, in its own memory: it can end them without the storage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from service.calls.model import Call, State

SAMPLE: Final = 100
"""How many of its calls a process asks the storage about at each look, in turn."""

SUSPICIOUS_SAMPLE: Final = 1000
"""How many, after the storage turned out to have lost one."""


@dataclass(slots=True)
class OwnCall:
    """A call and when this process ends it by itself (``time.monotonic``), should the storage not be there.

    ``recorded``: the storage has its id at the vendor. ``forced``: nobody else can end it. ``attempts`` and ``busy``
    are those of this process, without the storage.
    """

    call: Call
    opened: float
    ends_at: float
    recorded: bool = False
    forced: bool = False
    reported: bool = False
    attempts: int = 0
    busy: bool = False

    def age(self) -> float:
        """Return how many seconds ago the vendor opened it."""
        return time.monotonic() - self.opened


class OwnCalls:
    """All of them. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, OwnCall] = {}
        self._upstream_ids: set[str | None] = set()
        self._forced: dict[str, OwnCall] = {}
        self._sample = SAMPLE

    def knows(self, upstream_id: str) -> bool:
        """Return whether one of them has this id at the vendor."""
        return upstream_id in self._upstream_ids

    @property
    def has_forced(self) -> bool:
        """Whether there are calls that only this process can end."""
        return bool(self._forced)

    def has(self, call_id: str, user: str) -> bool:
        """Return whether a call is one of them, and this user's."""
        with self._lock:
            own = self._calls.get(call_id)
            return own is not None and own.call.user == user

    def watch(self, call: Call) -> OwnCall:
        """Remember a call whose id at the vendor is known."""
        now = time.monotonic()
        own = OwnCall(call, opened=now, ends_at=now + call.max_seconds)
        with self._lock:
            self._calls[call.id] = own
            self._upstream_ids.add(call.upstream_id)
        return own

    def note_recorded(self, own: OwnCall, call: Call) -> None:
        """Note that the storage has recorded a call: from now on one that it does not know is lost there."""
        with self._lock:
            own.call, own.recorded = call, True

    def forget(self, call_id: str) -> None:
        """Forget a call that has ended."""
        with self._lock:
            self._drop(call_id)

    def force(self, call_id: str) -> None:
        """Start ending a call now, by this process and without the storage, unless it has ended."""
        with self._lock:
            if own := self._calls.get(call_id):
                own.forced, own.ends_at = True, time.monotonic()
                self._forced[call_id] = own

    def delay(self, call_id: str, pause: float) -> None:
        """Say that ending a call failed; without the storage it is tried again after ``pause`` seconds."""
        with self._lock:
            if own := self._calls.get(call_id):
                own.ends_at = time.monotonic() + pause

    def due(self, *, storage_unavailable: bool) -> tuple[OwnCall, ...]:
        """Return what this process must end itself now: forced calls, and without the storage all that are due."""
        with self._lock:
            if not storage_unavailable and not self._forced:
                return ()
            now = time.monotonic()
            candidates: Iterable[OwnCall] = (self._calls if storage_unavailable else self._forced).values()
            return tuple(own for own in candidates if own.ends_at <= now and not own.busy)

    def sample(self) -> tuple[str, ...]:
        """Return the ids to ask the storage about now: every recorded call gets its turn."""
        with self._lock:
            ids = tuple(islice(self._calls, self._sample))
            for call_id in ids:  # to the end of the queue
                self._calls[call_id] = self._calls.pop(call_id)
            return tuple(
                call_id for call_id in ids if self._calls[call_id].recorded and call_id not in self._forced
            )

    def unrecorded(self, states: Mapping[str, State | None]) -> tuple[OwnCall, ...]:
        """Return the calls whose id at the vendor the storage has lost."""
        with self._lock:
            found = (self._calls.get(call_id) for call_id, state in states.items() if state == "opening")
            return tuple(own for own in found if own)

    def compare(self, states: Mapping[str, State | None]) -> tuple[OwnCall, ...]:
        """Forget what has ended, and return the calls that the storage does not know, to be forced."""
        with self._lock:
            missing = [
                own for call_id, state in states.items() if not state and (own := self._calls.get(call_id))
            ]
            for call_id, state in states.items():
                if state == "ended" and call_id not in self._forced:
                    self._drop(call_id)
            self._sample = SUSPICIOUS_SAMPLE if missing else SAMPLE
            return tuple(missing)

    def _drop(self, call_id: str) -> None:
        self._forced.pop(call_id, None)
        if own := self._calls.pop(call_id, None):
            self._upstream_ids.discard(own.call.upstream_id)
