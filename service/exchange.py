"""Run one exchange: authenticate the caller, decide what is granted, count it, act at the vendor, record it.

No Flask: ``Incoming`` is what an exchange needs of a request, and the ``Record`` it returns is all that happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final, Generic, Protocol, TypeVar

from service.auth.authenticator import Authenticator, MissingScopeError
from service.budgets import MinuteStatus
from service.calls.errors import CallLimitError, CallRegistryUnavailableError
from service.calls.opening import OpenedCall
from service.core.errors import (
    InternalError,
    InvalidTokenError,
    RateLimitedError,
    RateLimitStorageUnavailableError,
    ServiceError,
)
from service.core.model import Caller, Event, Grant, Record, TokenRequest
from service.limits.limiter import RateLimits, add_call_seconds
from service.policy import Policy

Answer = TypeVar("Answer")
Result = TypeVar("Result")
Done_co = TypeVar("Done_co", covariant=True)

_COUNTED_REFUSALS: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
)
"""Refusals of a known user's request that count against ``RATE_LIMIT_REFUSED_PER_USER``."""

_COUNTED_OF_CONTROL: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND})
"""Refusals of a request that reads or ends calls that count against ``RATE_LIMIT_CALL_CONTROL_PER_USER``."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What an exchange needs of a request.

    ``read_address`` is called for refused credentials only, ``read_body`` for known callers only.
    """

    authorization: str | None
    read_address: Callable[[], str]
    read_body: Callable[[], bytes]


class VendorAction(Protocol[Done_co]):
    """What a caller can ask the vendor for: how the body is read, and what is done."""

    @property
    def event(self) -> Event:
        """The name of the audit event."""

    def read(self, body: bytes) -> TokenRequest:
        """Read what is asked for.

        Raises:
            InvalidRequestError: the body is invalid.
        """

    def act(self, caller: Caller, request: TokenRequest, grant: Grant) -> Done_co:
        """Do it.

        Raises:
            ServiceError: the vendor refused, or could not be asked.
        """


class Control(Protocol[Done_co]):
    """What a caller can do with calls that are open."""

    def is_exempt(self, caller: Caller) -> bool:
        """Return whether this may be done although the caller's limit of such requests is used up."""

    def act(self, caller: Caller, limited: RateLimitedError | None) -> Done_co:
        """Do it. ``limited`` is the limit of such requests, where it is used up: the first ending is not refused.

        Raises:
            ServiceError: it cannot be done.
        """


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """What happened, and what came of it: ``None`` where ``record.error`` says why not."""

    record: Record
    result: Result | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """The parts that a request passes, in the order it passes them."""

    authenticator: Authenticator
    policy: Policy
    limits: RateLimits

    def run(self, action: VendorAction[Result], incoming: Incoming, known: Record) -> Outcome[Result]:
        """Do what is asked for, and add to what is ``known`` of the request.

        Nothing is raised: an error is a fact of the record, as every other.
        """
        facts: dict[str, Any] = {"event": action.event}
        result: Result | None = None
        with _noting_errors(facts), counting_failed_auth(self.limits, incoming):
            facts["caller"] = caller = _using_storage(action.event, lambda: self._authenticate(incoming))
            request, grant = self._decide(action, caller, incoming)
            facts["grant"] = grant
            quota = _using_storage(action.event, lambda: self.limits.acquire(caller))
            facts["quota_headers"] = quota.headers
            started = perf_counter()
            try:
                facts["result"] = result = action.act(caller, request, grant)
            finally:
                facts["upstream_seconds"] = perf_counter() - started
        if minutes := _find_minutes(result, facts.get("error")):
            facts["quota_headers"] = add_call_seconds(facts["quota_headers"], minutes)
        return Outcome(known._replace(**facts, limit_storage=self.limits.state()), result)

    def _authenticate(self, incoming: Incoming, *, control: bool = False) -> Caller:
        """Identify the caller. A refusal for lack of scope counts as one of a known user's, as all others do."""
        try:
            return self.authenticator.authenticate(incoming.authorization, use_up=not control)
        except MissingScopeError as error:
            self.limits.check_refused(error.caller, control=control)
            self.limits.count_refused(error.caller, control=control)
            self.limits.check_along(error.caller)
            raise

    def _decide(
        self, action: VendorAction[Result], caller: Caller, incoming: Incoming
    ) -> tuple[TokenRequest, Grant]:
        """Read what is asked for and decide on it, unless too many requests of the caller were refused already."""
        self.limits.check_refused(caller)
        try:
            body = incoming.read_body()
            self.limits.check_refused(caller)  # others of the caller's may have been refused while it came in
            request = action.read(body)
            return request, self.policy.decide(caller, request)
        except ServiceError as error:
            if error.status in _COUNTED_REFUSALS:
                self.limits.count_refused(caller)
            if not isinstance(error, RateLimitedError):
                self.limits.check_along(caller)
            raise

    def control(self, action: Control[Result], incoming: Incoming, known: Record) -> Outcome[Result]:
        """Read or end calls that are open: no policy, a limit of their own, and no token is used up.

        An error is an audit event, as a refused opening is.
        """
        facts: dict[str, Any] = {}
        result: Result | None = None
        with _noting_errors(facts), counting_failed_auth(self.limits, incoming):
            facts["caller"] = caller = self._authenticate(incoming, control=True)
            result = self._control(action, caller)
        if "error" in facts:
            facts["event"] = "call"
        return Outcome(known._replace(**facts, limit_storage=self.limits.state()), result)

    def _control(self, action: Control[Result], caller: Caller) -> Result:
        """Count and do it, unless too many requests of the caller were refused already: that costs no round trip."""
        try:
            self.limits.check_refused(caller, control=True)
        except RateLimitedError:
            if not action.is_exempt(caller):
                raise
        limited: RateLimitedError | None = None
        try:
            _using_storage("call", lambda: self.limits.acquire_call_control(caller))
        except RateLimitedError as error:
            limited = error
        try:
            return action.act(caller, limited)
        except ServiceError as error:
            if error.status in _COUNTED_OF_CONTROL:
                self.limits.count_refused(caller, control=True)
            raise


@contextmanager
def _noting_errors(facts: dict[str, Any]) -> Iterator[None]:
    """Make what is raised one of the facts: an internal error is recorded as every other error is."""
    try:
        yield
    except ServiceError as error:
        facts["error"] = error
    except Exception as fault:  # noqa: BLE001 - recorded, with all of it in the log
        facts |= {"error": InternalError(), "fault": fault}


@contextmanager
def counting_failed_auth(limits: RateLimits, incoming: Incoming) -> Iterator[None]:
    """Count an ``InvalidTokenError`` against the client's address, on every route that takes a credential.

    Only a refused credential counts, so a valid one is never refused for what others behind the same address did.

    Raises:
        RateLimitedError: this address had too many refused.
        RateLimitStorageUnavailableError: the storage is unavailable and the policy is ``deny``.
    """
    try:
        yield
    except InvalidTokenError:
        limits.count_failed_auth(incoming.read_address())
        raise


def _using_storage(event: Event, ask: Callable[[], Answer]) -> Answer:
    """Ask the storage of the limits. Calls are kept there, too: without it they have an error of their own."""
    try:
        return ask()
    except RateLimitStorageUnavailableError as error:
        if event == "call":
            raise CallRegistryUnavailableError.because(error) from error
        raise


def _find_minutes(result: object, error: ServiceError | None) -> tuple[MinuteStatus, ...]:
    """Return how the caller's minutes stand, where an action has found that out."""
    if isinstance(result, OpenedCall):
        return result.reservation.minutes
    return error.minutes if isinstance(error, CallLimitError) else ()
