"""The call registry in this process's memory, for one process: what ``lua/calls.lua`` does, in Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from service import budgets
from service.budgets import MinuteLimit, MinuteStatus
from service.calls.errors import Bound, CallNotFoundError, TooManyCallsError
from service.calls.memory_parts import KeptCalls, Memory, MinuteCounters, Schedule
from service.calls.model import (
    CONNECTING_SECONDS,
    ENDING_RETRY_SECONDS,
    MOVES,
    UNKNOWN_SECONDS,
    Call,
    CallRequest,
    Cause,
    Change,
    Claim,
    Counts,
    Poll,
    PollRequest,
    Reservation,
    State,
    new_call_id,
)
from service.calls.registry import LISTED, PAGE


class MemoryCalls:
    """A ``CallRegistry`` in memory. ``opening_seconds``: after this long an opening's outcome is unknown.

    The clock begins at the system's time and then runs with the store's, which no step of the system's clock moves.
    """

    survives_process: Final = False

    def __init__(
        self,
        store: Memory,
        *,
        opening_seconds: float,
        checked: bool = True,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._lock = store.lock
        self._clock = store.now
        self._read_key = store.get
        self._epoch_ms = round(1000 * (epoch() - store.now()))
        self._opening_ms = round(1000 * opening_seconds)
        self._checked = checked
        self._sequence = 0
        self._calls = KeptCalls()
        self._due = Schedule()
        self._checks = Schedule()
        self._minutes = MinuteCounters()

    def reserve(self, request: CallRequest) -> Reservation:
        """Take a slot and minutes for a new call; see ``CallRegistry``."""
        with self._lock:
            now, limits = self._now(), request.limits
            self._calls.sweep(now)
            self._minutes.sweep(now)
            held = self._check_slots(request, now)
            # A window that begins now bears the number of the call that begins it.
            sequence = self._sequence + 1
            seconds, windows = self._minutes.reserve(request, now=now, new_id=sequence)
            self._sequence = sequence
            replaced = held[: max(0, len(held) - limits.calls + 1)]
            for call in replaced:
                self._start_ending(call, "replaced", now)
            call = self._calls.save(
                Call(
                    id=new_call_id(),
                    user=request.user,
                    type=request.type,
                    model=request.model,
                    state="opening",
                    sequence=sequence,
                    opened_ms=now,
                    reserved_ms=1000 * seconds,
                    windows=windows,
                )
            )
            self._due.set(call.id, now + self._opening_ms)
            minutes = self._minutes.status(request.user, limits.minutes, now)
            value = self._read_key(request.read) if request.read else None
            return Reservation(call, tuple(each.id for each in replaced), minutes, value)

    def _check_slots(self, request: CallRequest, now: int) -> list[Call]:
        """Return the user's calls that hold a slot, oldest first; refuse where there is no slot for another."""
        limits, calls = request.limits, tuple(self._calls.active(request.user))
        held = [call for call in calls if call.state in MOVES["end"]]
        ending = sum(call.state == "ending" and call.upstream_id is not None for call in calls)
        scope: Bound
        if len(self._calls) >= limits.calls_global:
            scope, first = "global", self._due.first() or now
        elif ending >= limits.ending:
            scope, first = "ending", now + 1000 * ENDING_RETRY_SECONDS
        elif len(held) >= limits.calls and limits.at_limit == "refuse":
            scope, first = "user", min(call.opened_ms + call.reserved_ms for call in held)
        else:
            return held
        minutes = self._minutes.status(request.user, limits.minutes, now)
        raise TooManyCallsError(scope, retry_after=max(0, first - now) / 1000, minutes=minutes)

    def record(self, call_id: str, upstream_id: str) -> Call | None:
        """Note the vendor's id; see ``CallRegistry``."""
        with self._lock:
            now, call = self._now(), self._calls.get(call_id)
            state = call and MOVES["record"].get(call.state)
            if not call or not state or call.upstream_id:
                return call
            if state == "open" and self._checked:
                self._checks.set(call_id, now + 1000 * CONNECTING_SECONDS)
            self._due.set(call_id, now + call.reserved_ms if state == "open" else now)
            return self._calls.save(replace(call, state=state, opened_ms=now, upstream_id=upstream_id))

    def refuse(self, call_id: str) -> None:
        """Give everything back: the vendor refused to open the call."""
        with self._lock:
            call = self._calls.get(call_id)
            if call and call.state in MOVES["refuse"] and not call.upstream_id:
                self._settle(call, 0)
                self._unschedule(call)
                self._calls.remove(call)

    def lose(self, call_id: str) -> None:
        """Note that the outcome of an opening is unknown; see ``CallRegistry``."""
        with self._lock:
            if call := self._calls.get(call_id):
                self._mark_unknown(call, self._now())

    def end(self, call_id: str, cause: Cause, *, user: str | None = None) -> Change | None:
        """Start ending a call; see ``CallRegistry``."""
        with self._lock:
            call = self._calls.read(call_id, self._now())
            if call is None or user not in {None, call.user}:
                return None
            ending = self._start_ending(call, cause, self._now())
            return Change(ending or call, changed=ending is not None)

    def end_user(self, user: str, cause: Cause) -> tuple[Call, ...]:
        """Start ending all calls of a user; returns those that were opening or open."""
        with self._lock:
            now = self._now()
            ending = [self._start_ending(call, cause, now) for call in tuple(self._calls.active(user))]
            return tuple(call for call in ending if call)

    def poll(self, request: PollRequest) -> Poll:
        """Claim calls that are due, and take open ones that are to be checked; see ``CallRegistry``."""
        with self._lock:
            now = self._now()
            claims, lost, ended = [], [], []
            for call_id, due in self._due.take(now, request.endings):
                call = self._calls[call_id]
                if changed := self._mark_unknown(call, now):
                    lost.append(changed)
                elif not call.upstream_id:
                    ended.append(self._finish(call, "unknown", now) or call)
                else:
                    ending = self._start_ending(call, "deadline", now) or call
                    ending = self._calls.save(replace(ending, attempts=ending.attempts + 1))
                    self._due.set(call_id, now + round(1000 * request.lease))
                    claims.append(Claim(ending, now - due))
            taken = self._checks.take(now, request.checks if request.check_every else 0)
            for call_id, _ in taken:
                self._checks.set(call_id, now + round(1000 * request.check_every))
            return Poll(
                now_ms=now,
                claims=tuple(claims),
                lost=tuple(lost),
                ended=tuple(ended),
                checks=tuple(self._calls[call_id] for call_id, _ in taken),
                next_ms=self._due.first(),
                own={call_id: self._own_state(call_id) for call_id in request.own},
            )

    def _own_state(self, call_id: str) -> State | None:
        call = self._calls.get(call_id)
        if call is None:
            return None
        return call.state if call.upstream_id else "opening"

    def postpone(self, claims: Iterable[tuple[Call, float]]) -> frozenset[str]:
        """Make claimed calls due again after a pause each; see ``CallRegistry``."""
        held = []
        with self._lock:
            for call, pause in claims:
                kept = self._calls.get(call.id)
                if kept is not None and kept.state == "ending" and kept.attempts == call.attempts:
                    self._due.set(call.id, self._now() + round(1000 * pause))
                    held.append(call.id)
        return frozenset(held)

    def confirm(
        self,
        call_id: str,
        cause: Cause,
        *,
        told_ms: int | None = None,
        confirmation: str | None = None,  # noqa: ARG002 - no answer of this process's memory is ever lost
        ago_ms: int = 0,
    ) -> Change | None:
        """Note that a call has ended, give its slot and unused minutes back; see ``CallRegistry``."""
        with self._lock:
            call = self._calls.read(call_id, self._now())
            if call is None:
                return None
            ended = self._finish(call, cause, max(call.opened_ms, self._now() - ago_ms), told_ms)
            return Change(ended or call, changed=ended is not None)

    def get(self, call_id: str) -> Call | None:
        """Read a call in any state, an ended one for an hour."""
        with self._lock:
            return self._calls.read(call_id, self._now())

    def list_calls(
        self,
        *,
        states: Sequence[State] = LISTED,
        user: str | None = None,
        after: str | None = None,
        limit: int = PAGE,
    ) -> tuple[Call, ...]:
        """List calls, oldest first; see ``CallRegistry``."""
        with self._lock:
            first = self._calls.read(after, self._now()) if after else None
            if after and (first is None or user not in {None, first.user}):
                raise CallNotFoundError
            sequence = first.sequence if first else 0
            calls = self._calls.active(user)
            listed = (call for call in calls if call.state in states and call.sequence > sequence)
            return tuple(islice(listed, limit))

    def minutes(self, user: str, limits: Sequence[MinuteLimit]) -> tuple[MinuteStatus, ...]:
        """Tell how a user's minutes stand, taking nothing."""
        with self._lock:
            return self._minutes.status(user, limits, self._now())

    def counts(self) -> Counts:
        """Count calls, for metrics."""
        with self._lock:
            return Counts(active=len(self._calls), due=self._due.count(self._now()))

    def _now(self) -> int:
        return self._epoch_ms + int(1000 * self._clock())

    def _start_ending(self, call: Call, cause: Cause, now: int) -> Call | None:
        state = MOVES["end"].get(call.state)
        if state is None:
            return None
        # While it is being opened there is nothing to end yet: recording its id makes it due.
        if call.state == "open":
            self._due.set(call.id, now)
        self._checks.discard(call.id)
        return self._calls.save(replace(call, state=state, ended_by=cause))

    def _mark_unknown(self, call: Call, now: int) -> Call | None:
        state = MOVES["lose"].get(call.state)
        if state is None or call.upstream_id or call.charged_ms is not None:
            return None
        self._due.set(call.id, now + 1000 * UNKNOWN_SECONDS)
        call = self._settle(call, budgets.charge(call.reserved_ms, 0))
        return self._calls.save(replace(call, state=state, ended_by="unknown"))

    def _finish(self, call: Call, cause: Cause, now: int, told_ms: int | None = None) -> Call | None:
        state = MOVES["confirm"].get(call.state)
        if state is None:
            return None
        elapsed = max(0, now - call.opened_ms) if call.upstream_id else 0
        call = self._settle(call, budgets.charge(call.reserved_ms, elapsed, told_ms))
        self._unschedule(call)
        by = call.ended_by or cause
        return self._calls.save(replace(call, state=state, ended_ms=now, elapsed_ms=elapsed, ended_by=by))

    def _settle(self, call: Call, charged: int) -> Call:
        """Charge once, and give the rest back to the windows it was taken from, where they still last."""
        if call.charged_ms is not None:
            return call
        self._minutes.give_back(call.user, call.windows, call.reserved_ms - charged)
        return self._calls.save(replace(call, charged_ms=charged))

    def _unschedule(self, call: Call) -> None:
        self._due.discard(call.id)
        self._checks.discard(call.id)
