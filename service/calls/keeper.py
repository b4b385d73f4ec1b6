"""Ends calls when they must end, in every worker, between requests.

A thread (under gevent a greenlet) looks twice a second, and when the next call is due; it takes what is due and has it
ended. Of many due calls it takes 200 a second, oldest first. What it takes is claimed as long as the attempt lasts, so
no two processes end a call at the same time.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from service.calls.bounds import Rate
from service.calls.endings import (
    CONFIRMING_SECONDS,
    LEASE_SECONDS,
    RENEW_SECONDS,
    Endings,
    KeeperEvents,
    VendorCalls,
)
from service.calls.errors import CallEndedError, CallRegistryUnavailableError
from service.calls.model import Call, Poll, PollRequest
from service.calls.own import OwnCall, OwnCalls
from service.calls.registry import CallRegistry

LOOK_SECONDS: Final = 0.5
"""Pause between polls when nothing is due; another process may have requested an ending."""

BUSY_LOOK_SECONDS: Final = 0.1
ENDINGS_PER_SECOND: Final = 200
CHECKS_PER_SECOND: Final = 20

SILENT_SECONDS: Final = 10
"""The keeper counts as stopped after this long without a poll: some servers run no thread between requests."""

_log = logging.getLogger(__name__)


class Keeper:
    """Keeps the calls of a registry, in one process. Started once there, never before a fork."""

    def __init__(
        self,
        registry: CallRegistry,
        vendor: VendorCalls,
        *,
        check_seconds: float,
        events: KeeperEvents | None = None,
    ) -> None:
        self._registry = registry
        self._events = events or KeeperEvents()
        self.own = OwnCalls()
        self._endings = Endings(registry, vendor, self.own, self._events)
        self._check_seconds = check_seconds
        self._ending_rate = Rate(ENDINGS_PER_SECOND)
        self._check_rate = Rate(CHECKS_PER_SECOND)
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._looked = 0.0

    @property
    def is_running(self) -> bool:
        """Whether it looks after calls in this very process; where it does not, none may be opened."""
        # Asked for each request, so ``is_alive`` is not: under gevent that costs a turn of the loop.
        looks = time.monotonic() - self._looked < SILENT_SECONDS
        return looks and self._thread is not None and self._pid == os.getpid() and not self._stopping

    def start(self) -> bool:
        """Start the thread. Return ``False`` if it is running already, was stopped, or cannot be created."""
        with self._starting:
            if self._stopping or self._is_started():
                return False
            self._pid, self._looked, self._thread = os.getpid(), time.monotonic(), None
            thread = threading.Thread(target=self._run, name="call-keeper", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                _log.error("cannot start the thread that ends calls, so no calls will be opened: %s", error)
                return False
            self._thread = thread
            return True

    def _is_started(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive() and self._pid == os.getpid()

    def wake(self) -> None:
        """Poll now: this process has just requested an ending."""
        self._wake.set()

    def record(self, call: Call, upstream_id: str) -> Call:
        """Note the vendor's id of a call that this process opened, here and in the registry; returns the open call.

        Raises:
            CallEndedError: the call was to end before it was open; it is ended at once.
            CallRegistryUnavailableError: it cannot be recorded; it is ended at once.
        """
        own = self.own.watch(replace(call, upstream_id=upstream_id))
        try:
            recorded = self._registry.record(call.id, upstream_id)
        except BaseException:  # a greenlet that is killed leaves a session behind as well
            self.end_without_storage(call.id)
            raise
        if recorded is None or recorded.state == "ended":
            self.own.force(call.id)
        else:
            self.own.note_recorded(own, recorded)
            if recorded.state == "open":
                return recorded
        self.wake()
        raise CallEndedError("The call was ended while it was being opened. Open a new one.")

    def end_without_storage(self, call_id: str) -> None:
        """Begin to end a call that this process opened, out of its own memory."""
        self.own.force(call_id)
        self.wake()

    def stop(self, seconds: float) -> None:
        """Stop within ``seconds``.

        Attempts under way are finished; calls kept in memory, and those that only this process knows, are all ended.
        """
        end_at = time.monotonic() + seconds
        if self.is_running and not self._registry.survives_process:
            self._end_all(end_at)
        while self.is_running and self.own.has_forced and time.monotonic() < end_at:
            time.sleep(0.02)
        self._stopping = True
        self.wake()
        if self._thread and self._pid == os.getpid():
            self._thread.join(max(0.1, end_at - time.monotonic()))
        while not self._endings.idle and time.monotonic() < end_at:
            with suppress(CallRegistryUnavailableError):
                self._endings.maintain()
            time.sleep(0.02)

    def _end_all(self, end_at: float) -> None:
        while True:
            calls = [call for call in self._registry.list_calls() if call.upstream_id]
            for call in calls:
                self._registry.end(call.id, "shutdown")
            if not calls or time.monotonic() >= end_at:
                break
            self.wake()
            time.sleep(0.02)
        if calls:
            ids = ", ".join(f"{call.id} ({call.upstream_id})" for call in calls)
            _log.error("stopping; these calls could not be ended: %s", ids)

    def _run(self) -> None:
        while not self._stopping:
            self._looked = time.monotonic()
            try:
                pause = self._look()
            except Exception:  # noqa: BLE001 - calls must be ended, whatever one look ran into
                _log.exception("call maintenance failed; it will be retried")
                pause = LOOK_SECONDS
            self._wake.wait(pause)
            self._wake.clear()

    def _look(self) -> float:
        """Take what is due, and return after how many seconds to look again."""
        request = PollRequest(
            endings=min(self._endings.room, self._ending_rate.available()),
            checks=min(self._endings.check_room, self._check_rate.available()) if self._check_seconds else 0,
            lease=LEASE_SECONDS,
            check_every=self._check_seconds,
            own=self.own.sample(),
        )
        try:
            self._endings.maintain()
            found = self._registry.poll(request)
        except CallRegistryUnavailableError:
            self._end_own(storage_unavailable=True)
            return LOOK_SECONDS
        self._endings.set_clock(found.now_ms)
        self._endings.confirm_ended()
        self._take(found)
        missing = self.own.compare(found.own) + self._record_again(self.own.unrecorded(found.own))
        self._force(missing)
        self._end_own(storage_unavailable=False)
        if missing or 0 < request.checks == len(found.checks):
            return BUSY_LOOK_SECONDS  # there may be others, which are missing or wait for a check
        longest = LOOK_SECONDS if self._endings.idle else RENEW_SECONDS
        next_in = LOOK_SECONDS if found.next_ms is None else (found.next_ms - found.now_ms) / 1000
        return min(longest, max(BUSY_LOOK_SECONDS, next_in))

    def _take(self, found: Poll) -> None:
        self._ending_rate.take(len(found.claims) + len(found.lost) + len(found.ended))
        for claim in found.claims:
            self._endings.begin(claim)
        self._check_rate.take(len(found.checks))
        for call in found.checks:
            self._endings.check(call)
        for call in found.lost:
            _log.warning("unknown whether the vendor opened call %s; 15 s are charged", call.id)
            self._events.lost(call)
        for call in found.ended:
            self._events.ended(call)

    def _record_again(self, unrecorded: tuple[OwnCall, ...]) -> tuple[OwnCall, ...]:
        """Give the storage, which came back without its last write, ids again; return calls that have ended there."""
        until, ended = time.monotonic() + CONFIRMING_SECONDS, []
        for own in unrecorded:
            try:
                recorded = self._registry.record(own.call.id, own.call.upstream_id or "")
            except CallRegistryUnavailableError:
                break
            if recorded is None or recorded.state == "ended":
                ended.append(own)
            else:
                self.own.note_recorded(own, recorded)
                _log.warning("the storage had lost the id of a call; it was recorded again: %s", _ids([own]))
            if time.monotonic() >= until:
                break
        return tuple(ended)

    def _force(self, missing: tuple[OwnCall, ...]) -> None:
        if missing:
            _log.error("calls are missing from the storage; this process is ending them: %s", _ids(missing))
        for own in missing:
            own.reported = True
            self.own.force(own.call.id)

    def _end_own(self, *, storage_unavailable: bool) -> None:
        """End what only this process can end: without the storage, or because the storage does not know it."""
        due = self.own.due(storage_unavailable=storage_unavailable)
        due = due[: min(self._endings.room, self._ending_rate.available())]
        self._ending_rate.take(len(due))
        if unreported := [own for own in due if not own.reported]:
            _log.error("ending calls from this process's memory, without the storage: %s", _ids(unreported))
        for own in due:
            own.reported = True
            self._endings.begin_own(own)


def _ids(calls: Iterable[OwnCall]) -> str:
    return ", ".join(f"{own.call.id} ({own.call.upstream_id})" for own in calls)
