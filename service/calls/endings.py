"""Attempts to end calls at the vendor: each in a thread of its own (under gevent a greenlet), bounded in number."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from service.calls.bounds import Threads
from service.calls.errors import CallRegistryUnavailableError
from service.calls.model import (
    CONNECTING_SECONDS,
    VENDOR_MAXIMUM_SECONDS,
    Call,
    Cause,
    Claim,
)
from service.calls.own import OwnCall, OwnCalls
from service.calls.registry import CallRegistry

LEASE_SECONDS: Final = 1.6
"""How long a claim lasts unrenewed. Short, so that what a killed process held is ended within 2 s of the next start."""

RENEW_SECONDS: Final = 0.3
"""Pause between two renewals; a process may be held up for over a second before it loses its claims."""

ATTEMPT_SECONDS: Final = 15.0
LONGEST_PAUSE: Final = 30
ATTEMPTS_AT_ONCE: Final = 512
"""Maximum number of attempts at once, those given up after ``ATTEMPT_SECONDS`` included."""
CHECKS_AT_ONCE: Final = 64
"""The same for checks, which have threads of their own: a vendor that hangs on checks must not delay an ending."""
CONFIRMING_SECONDS: Final = 0.3
"""How long one look tells a storage that is there again what it does not know, a round trip each: others are due."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the vendor answered when it was asked to end a call, or whether it still runs.

    ``told_seconds`` is what it bills, where it says so; ``reason`` explains ``failed`` for the log.
    """

    state: Literal["ended", "not_found", "running", "failed"]
    told_seconds: float | None = None
    reason: str = ""

    def proves_end(self, age: float) -> bool:
        """Return whether a call opened ``age`` seconds ago has ended: 404 says so once it had time to be connected."""
        return self.state == "ended" or (self.state == "not_found" and age >= CONNECTING_SECONDS)


@dataclass(frozen=True, slots=True)
class VendorCalls:
    """How the vendor is asked, each within 15 s: to end a call, and whether one still runs.

    ``end`` answers ``ended``, ``not_found`` or ``failed``; ``check`` ``running``, ``not_found`` or ``failed``. What
    they raise counts as ``failed``.
    """

    end: Callable[[Call], Outcome]
    check: Callable[[Call], Outcome]


class KeeperEvents:
    """What the keeper tells of its work, for audit and metrics. This one listens to nothing."""

    def ended(self, call: Call) -> None:
        """Tell that a call has ended: its cause, seconds and charge are in it."""

    def lost(self, call: Call) -> None:
        """Tell that the outcome of an opening became unknown because its process died."""

    def late(self, seconds: float) -> None:
        """Tell how long after its time the first attempt to end a call began."""

    def failed(self, call: Call, reason: str) -> None:
        """Tell that an attempt to end a call failed; it will be tried again."""

    def gave_up(self, call: Call) -> None:
        """Tell that a call could not be ended until the vendor's own maximum had passed."""


def retry_pause(attempts: int) -> int:
    """Return how many seconds to wait after this many failed attempts: 1, 2, 4 … 30."""
    return min(LONGEST_PAUSE, 1 << min(attempts - 1, 5))


@dataclass(frozen=True, slots=True)
class FoundEnded:
    """A call that was found ended at ``at`` (``time.monotonic``), not yet told to the storage."""

    call: Call
    cause: Cause
    told_seconds: float | None = None
    at: float = field(default_factory=time.monotonic)
    confirmation: str = field(default_factory=lambda: secrets.token_hex(8))


class Endings:
    """The attempts under way in this process, and what has ended without the storage knowing yet."""

    def __init__(
        self, registry: CallRegistry, vendor: VendorCalls, own: OwnCalls, events: KeeperEvents
    ) -> None:
        self._registry = registry
        self._vendor = vendor
        self._own = own
        self._events = events
        self._lock = threading.Lock()
        self._running: dict[str, tuple[Call, float]] = {}
        self._attempts = Threads(ATTEMPTS_AT_ONCE)
        self._checks = Threads(CHECKS_AT_ONCE)
        self._unconfirmed: dict[str, FoundEnded] = {}
        self._renewed = 0.0
        self._clock_offset = time.time() - time.monotonic()

    @property
    def room(self) -> int:
        """How many more attempts may be begun."""
        return self._attempts.room

    @property
    def check_room(self) -> int:
        """How many more checks may be begun."""
        return self._checks.room

    @property
    def idle(self) -> bool:
        """Whether no claimed call is being ended."""
        return not self._running

    def set_clock(self, now_ms: int) -> None:
        """Note what time the storage has: ages of calls are by its clock."""
        self._clock_offset = now_ms / 1000 - time.monotonic()

    def begin(self, claim: Claim) -> None:
        """Begin to end a call that this process has claimed."""
        with self._lock:
            self._running[claim.call.id] = (claim.call, time.monotonic())
        if not self._attempts.start(lambda: self._attempt(claim.call)):
            self._stop_renewing(claim.call)  # the claim expires, and the call is claimed again
        if claim.call.attempts == 1:
            self._events.late(claim.late_ms / 1000)

    def begin_own(self, own: OwnCall) -> None:
        """Begin to end a call out of this process's memory, unless an attempt is under way."""
        if own.call.id in self._running:
            return
        own.busy = True
        own.attempts += 1
        if not self._attempts.start(lambda: self._attempt_own(own)):
            own.busy = False

    def check(self, call: Call) -> None:
        """Begin to ask whether an open call, older than two minutes, still runs."""

        def look() -> None:
            if _ask(self._vendor.check, call).state == "not_found":
                self._confirm(FoundEnded(call, "vendor"))

        self._checks.start(look)

    def maintain(self) -> None:
        """Give up attempts that hang, and renew the claims of the others, in one round trip, however many there are.

        Raises:
            CallRegistryUnavailableError: the storage is unavailable, so no claim can be renewed.
        """
        now = time.monotonic()
        with self._lock:
            hanging = [call for call, begun in self._running.values() if now - begun > ATTEMPT_SECONDS]
            for call in hanging:
                del self._running[call.id]
            held = [call for call, _ in self._running.values()]
        reason = f"no answer in {ATTEMPT_SECONDS:g} s"
        claims = [(call, pause) for call in hanging if (pause := self._fail(call, reason))]
        if held and now - self._renewed >= RENEW_SECONDS:
            self._renewed = now
            claims += [(call, LEASE_SECONDS) for call in held]
        if claims:
            self._registry.postpone(claims)

    def confirm_ended(self) -> None:
        """Tell the storage, which is there again, what has ended without it; what is left, at the next look."""
        until = time.monotonic() + CONFIRMING_SECONDS
        for call_id in tuple(self._unconfirmed):
            with self._lock:
                unconfirmed = self._unconfirmed.pop(call_id)
            self._confirm(unconfirmed)
            if time.monotonic() >= until:
                return

    def _attempt(self, call: Call) -> None:
        outcome = _ask(self._vendor.end, call)
        if outcome.proves_end(self._age(call)):
            self._confirm(FoundEnded(call, call.ended_by or "unknown", outcome.told_seconds))
            self._stop_renewing(call)
        elif self._stop_renewing(call) and (pause := self._fail(call, outcome.reason or outcome.state)):
            with suppress(CallRegistryUnavailableError):  # its claim runs out by itself
                self._registry.postpone([(call, pause)])

    def _stop_renewing(self, call: Call) -> bool:
        """Let go of a claim; false where the attempt took so long that this was done already."""
        with self._lock:
            running = self._running.get(call.id)
            held = running is not None and running[0].attempts == call.attempts
            if held:
                del self._running[call.id]
            return held

    def _fail(self, call: Call, reason: str) -> float:
        """Note that an attempt failed; return after how many seconds to make another, 0 where none is to be made."""
        if self._age(call) >= VENDOR_MAXIMUM_SECONDS[call.type]:
            self._give_up(call)
            self._confirm(FoundEnded(call, call.ended_by or "unknown"))
            return 0.0
        pause = retry_pause(call.attempts)
        _log.warning("call %s: attempt %d to end it failed, will retry: %s", call.id, call.attempts, reason)
        self._events.failed(call, reason)
        self._own.delay(call.id, pause)
        return pause

    def _attempt_own(self, own: OwnCall) -> None:
        call, outcome = own.call, _ask(self._vendor.end, own.call)
        own.busy = False
        if outcome.proves_end(own.age()):
            cause: Cause = "unknown" if own.forced else "deadline"
            self._confirm(FoundEnded(call, cause, outcome.told_seconds))
        elif own.age() >= VENDOR_MAXIMUM_SECONDS[call.type]:
            self._give_up(call)
            self._confirm(FoundEnded(call, "unknown"))
        else:
            _log.warning(
                "call %s: attempt %d to end it failed, will retry: %s",
                call.id,
                own.attempts,
                outcome.reason or outcome.state,
            )
            self._events.failed(call, outcome.reason or outcome.state)
            self._own.delay(call.id, retry_pause(own.attempts))

    def _confirm(self, found: FoundEnded) -> None:
        call, ago = found.call, time.monotonic() - found.at
        self._own.forget(call.id)
        told_ms = None if found.told_seconds is None else round(1000 * found.told_seconds)
        try:
            change = self._registry.confirm(
                call.id, found.cause, told_ms=told_ms, confirmation=found.confirmation, ago_ms=int(1000 * ago)
            )
        except CallRegistryUnavailableError:
            with self._lock:
                self._unconfirmed[call.id] = found
            return
        if change is None:  # the storage has lost it: it is told as this process knows it
            elapsed_ms = round(1000 * (self._age(call) - ago))
            self._events.ended(replace(call, state="ended", ended_by=found.cause, elapsed_ms=elapsed_ms))
        elif change.changed:
            self._events.ended(change.call)

    def _give_up(self, call: Call) -> None:
        _log.error(
            "giving up on ending call %s (%s): the vendor's own maximum duration has passed",
            call.id,
            call.upstream_id,
        )
        self._events.gave_up(call)

    def _age(self, call: Call) -> float:
        return time.monotonic() + self._clock_offset - call.opened_at


def _ask(question: Callable[[Call], Outcome], call: Call) -> Outcome:
    try:
        return question(call)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be tried again
        _log.exception("asking the vendor about call %s failed", call.id)
        return Outcome("failed", reason=type(error).__name__)
