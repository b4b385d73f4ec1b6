"""The call registry on Redis or Valkey, for several processes and over restarts: one script, an operation a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from service.budgets import MinuteLimit, MinuteStatus
from service.calls.errors import (
    CallMinutesExhaustedError,
    CallNotFoundError,
    CallRegistryUnavailableError,
    TooManyCallsError,
)
from service.calls.model import (
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
from service.calls.script import SCRIPT
from service.core.errors import RateLimitStorageUnavailableError
from service.core.json import encode_object, parse_object
from service.store.protocol import KEY_PREFIX, RedisStore

PREFIX: Final = f"{KEY_PREFIX}:calls"
"""Begins all keys. The hash tag in braces, that of all the store's keys, keeps them on one node of a cluster."""


CHUNK: Final = 200
"""Maximum number of calls that one step of a list reads."""


class RedisCalls:
    """A ``CallRegistry`` on Redis. ``opening_seconds``: after this long an opening's outcome is unknown.

    ``clock`` takes the place of the server's clock in tests (milliseconds since the epoch).
    """

    survives_process: Final = True

    def __init__(
        self,
        store: RedisStore,
        *,
        opening_seconds: float,
        checked: bool = True,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._store = store
        self._opening_ms = round(1000 * opening_seconds)
        self._checked = checked
        self._clock = clock

    def reserve(self, request: CallRequest) -> Reservation:
        """Take a slot and minutes for a new call; see ``CallRegistry``."""
        limits = request.limits
        answer = self._run(
            "reserve",
            id=new_call_id(),
            user=request.user,
            type=request.type,
            model=request.model,
            seconds=request.seconds,
            calls=limits.calls,
            replace=limits.at_limit == "replace",
            ending=limits.ending,
            calls_global=limits.calls_global,
            windows=[*_windows("u", limits.minutes), *_windows("a", limits.minutes_global)],
            opening=self._opening_ms,
            read=request.read,
        )
        minutes = _statuses(limits.minutes, answer["windows"], answer["now"])
        if answer.get("refused") == "calls":
            raise TooManyCallsError(answer["limit"], retry_after=answer["retry_ms"] / 1000, minutes=minutes)
        if answer.get("refused") == "minutes":
            raise CallMinutesExhaustedError(
                answer["limit"], retry_after=answer["retry_ms"] / 1000, minutes=minutes
            )
        return Reservation(_call(answer["call"]), tuple(answer["replaced"]), minutes, answer.get("value"))

    def record(self, call_id: str, upstream_id: str) -> Call | None:
        """Note the vendor's id; see ``CallRegistry``."""
        return _call_or_none(self._run("record", id=call_id, upstream_id=upstream_id, check=self._checked))

    def refuse(self, call_id: str) -> None:
        """Give everything back: the vendor refused to open the call."""
        self._run("refuse", id=call_id)

    def lose(self, call_id: str) -> None:
        """Note that the outcome of an opening is unknown; see ``CallRegistry``."""
        self._run("lose", id=call_id)

    def end(self, call_id: str, cause: Cause, *, user: str | None = None) -> Change | None:
        """Start ending a call; see ``CallRegistry``."""
        return _change(self._run("end", id=call_id, cause=cause, user=user))

    def end_user(self, user: str, cause: Cause) -> tuple[Call, ...]:
        """Start ending all calls of a user; returns those that were opening or open."""
        return _calls(self._run("end_user", user=user, cause=cause)["calls"])

    def poll(self, request: PollRequest) -> Poll:
        """Claim calls that are due, and take open ones that are to be checked; see ``CallRegistry``."""
        answer = self._run(
            "poll",
            endings=request.endings,
            checks=request.checks if request.check_every else 0,
            lease=round(1000 * request.lease),
            check_every=round(1000 * request.check_every),
            own=request.own,
        )
        return Poll(
            now_ms=answer["now"],
            claims=tuple(Claim(_call(call), late) for call, late in answer["claims"]),
            lost=_calls(answer["lost"]),
            ended=_calls(answer["ended"]),
            checks=_calls(answer["checks"]),
            next_ms=answer.get("next"),
            own={call_id: state or None for call_id, state in zip(request.own, answer["own"], strict=True)},
        )

    def postpone(self, claims: Iterable[tuple[Call, float]]) -> frozenset[str]:
        """Make claimed calls due again after a pause each; see ``CallRegistry``."""
        held = [(call.id, call.attempts, round(1000 * pause)) for call, pause in claims]
        return frozenset(self._run("postpone", claims=held)["held"])

    def confirm(
        self,
        call_id: str,
        cause: Cause,
        *,
        told_ms: int | None = None,
        confirmation: str | None = None,
        ago_ms: int = 0,
    ) -> Change | None:
        """Note that a call has ended, give its slot and unused minutes back; see ``CallRegistry``."""
        answer = self._run(
            "confirm", id=call_id, cause=cause, told=told_ms, confirmation=confirmation, ago=ago_ms
        )
        return _change(answer)

    def get(self, call_id: str) -> Call | None:
        """Read a call in any state, an ended one for an hour."""
        return _call_or_none(self._run("get", id=call_id))

    def list_calls(
        self,
        *,
        states: Sequence[State] = LISTED,
        user: str | None = None,
        after: str | None = None,
        limit: int = PAGE,
    ) -> tuple[Call, ...]:
        """List calls, oldest first; see ``CallRegistry``. In chunks, so that no step holds Redis up for long."""
        first = self.get(after) if after else None
        if after and (first is None or user not in {None, first.user}):
            raise CallNotFoundError
        calls: list[Call] = []
        sequence, more = first.sequence if first else 0, True
        while more and len(calls) < limit:
            chunk = min(CHUNK, limit - len(calls))
            answer = self._run("list", user=user, states=states, after=sequence, chunk=chunk)
            calls += _calls(answer["calls"])
            sequence, more = answer["after"], answer["more"]
        return tuple(calls)

    def minutes(self, user: str, limits: Sequence[MinuteLimit]) -> tuple[MinuteStatus, ...]:
        """Tell how a user's minutes stand, taking nothing."""
        answer = self._run("minutes", user=user, windows=_windows("u", limits))
        return _statuses(limits, answer["windows"], answer["now"])

    def counts(self) -> Counts:
        """Count calls, for metrics."""
        return Counts(**self._run("counts"))

    def _run(self, operation: str, **arguments: Any) -> dict[str, Any]:
        # Members that are None are left out: a null in JSON is no nil in Lua.
        given = encode_object({name: value for name, value in arguments.items() if value is not None})
        now = self._clock() if self._clock else ""
        try:
            answer = self._store.run(SCRIPT, [PREFIX], [operation, now, given])
        except RateLimitStorageUnavailableError as error:
            raise CallRegistryUnavailableError.because(error) from error
        return parse_object(answer, unique_members=False)


def _windows(scope: str, limits: Sequence[MinuteLimit]) -> list[tuple[str, int, int]]:
    return [(scope, limit.length, limit.amount) for limit in limits]


def _statuses(
    limits: Sequence[MinuteLimit], windows: Sequence[tuple[int, int]], now: int
) -> tuple[MinuteStatus, ...]:
    # The user's windows come first; those of all users, beyond the limits asked for, are left out.
    return tuple(
        MinuteStatus(limit, int(left) // 1000, max(0, ends - now) / 1000)
        for limit, (left, ends) in zip(limits, windows, strict=False)
    )


def _call(stored: Mapping[str, Any]) -> Call:
    windows = (window.partition("=") for window in stored["windows"].split(",") if window)
    return Call(**{**stored, "windows": tuple((name, int(number)) for name, _, number in windows)})


def _calls(stored: Sequence[Mapping[str, Any]]) -> tuple[Call, ...]:
    return tuple(map(_call, stored))


def _call_or_none(answer: Mapping[str, Any]) -> Call | None:
    return _call(answer["call"]) if answer.get("call") else None


def _change(answer: Mapping[str, Any]) -> Change | None:
    return Change(_call(answer["call"]), bool(answer["changed"])) if answer.get("call") else None
