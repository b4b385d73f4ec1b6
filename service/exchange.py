"""Run one exchange: authenticate the caller, decide what is granted, count it, act at the vendor, record it.

No Flask: ``Incoming`` is what an exchange needs of a request, and the ``Record`` it returns is all that happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final, Generic, Protocol, TypeVar

from service.auth.authenticator import Authenticator
from service.budgets import MinuteStatus
from service.calls.errors import CallEndedError, CallLimitError
from service.calls.factory import Calls
from service.calls.model import Reservation
from service.calls.opening import OpenedCall, OpeningFailedError, open_call
from service.core.errors import (
    InternalError,
    InvalidTokenError,
    RateLimitedError,
    RejectedSessionError,
    ServiceError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from service.core.model import Caller, ClientSecret, Grant, Offer, Record, TokenRequest
from service.limits.limiter import RateLimits
from service.limits.quota import add_call_seconds
from service.policy import Policy
from service.vendors.base import CallApi, OpenedSession, Request, Vendor
from service.vendors.openai import bad_response
from service.vendors.transport import Transport

_SHORTEST_LINE: Final = 8
"""Characters: a shorter line of an offer, such as ``v=0``, says nothing of anybody."""

Known = TypeVar("Known")
Result = TypeVar("Result")
Done_co = TypeVar("Done_co", covariant=True)

OpenedAtVendor = OpenedCall[OpenedSession]


@dataclass(frozen=True, slots=True)
class Incoming:
    """What an exchange needs of a request. ``read_body`` is called for known callers only."""

    authorization: str | None
    address: str
    read_body: Callable[[], bytes]


class Action(Protocol[Done_co]):
    """What a caller can ask for: how its body is read, and what is done at the vendor."""

    @property
    def event(self) -> str:
        """The name of the audit event."""

    def read(self, body: bytes) -> TokenRequest:
        """Read what is asked for.

        Raises:
            InvalidRequestError: the body does not say something that can be done.
        """

    def act(self, caller: Caller, request: TokenRequest, grant: Grant) -> Done_co:
        """Do it.

        Raises:
            ServiceError: the vendor refused, or could not be asked.
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

    def run(self, action: Action[Result], incoming: Incoming, known: Record) -> Outcome[Result]:
        """Do what is asked for, and add to what is ``known`` of the request.

        Nothing is raised: an error is a fact of the record, as every other.
        """
        facts: dict[str, Any] = {"event": action.event}
        result: Result | None = None
        try:
            facts["caller"] = caller = check_credential(
                self.limits, incoming, self.authenticator.authenticate
            )
            request = action.read(incoming.read_body())
            facts["grant"] = grant = self.policy.decide(caller, request)
            quota = check_credential(self.limits, incoming, lambda _: self.limits.acquire(caller))
            facts["quota_headers"] = quota.headers
            started = perf_counter()
            try:
                facts["result"] = result = action.act(caller, request, grant)
            finally:
                facts["upstream_seconds"] = perf_counter() - started
        except ServiceError as error:
            facts["error"] = error
        except Exception as fault:  # noqa: BLE001 - a fault of our own is recorded as every other end is
            facts |= {"error": InternalError(), "fault": fault}
        if minutes := _minutes(result, facts.get("error")):
            facts["quota_headers"] = add_call_seconds(facts["quota_headers"], minutes)
        return Outcome(replace(known, **facts, limit_storage=self.limits.state()), result)

    def control(
        self, work: Callable[[Caller, RateLimitedError | None], Result], incoming: Incoming, known: Record
    ) -> Outcome[Result]:
        """Read or end calls that are open: no policy, a limit of their own, and no token is used up.

        ``work`` is told of a limit that is used up, since it never refuses the first ending of a call. An error is an
        audit event, as a refused opening is.
        """
        facts: dict[str, Any] = {}
        result: Result | None = None
        try:
            authenticate = partial(self.authenticator.authenticate, use_up=False)
            facts["caller"] = caller = check_credential(self.limits, incoming, authenticate)
            limited = check_credential(self.limits, incoming, lambda _: self._count_control(caller))
            result = work(caller, limited)
        except ServiceError as error:
            facts |= {"error": error, "event": "call"}
        except Exception as fault:  # noqa: BLE001 - as above
            facts |= {"error": InternalError(), "fault": fault, "event": "call"}
        return Outcome(replace(known, **facts, limit_storage=self.limits.state()), result)

    def _count_control(self, caller: Caller) -> RateLimitedError | None:
        try:
            self.limits.acquire_call_control(caller)
        except RateLimitedError as limited:
            return limited
        return None


def check_credential(limits: RateLimits, incoming: Incoming, check: Callable[[str | None], Known]) -> Known:
    """Return what ``check`` makes of the ``Authorization`` header, on every route that takes a credential.

    Only a refused credential counts against its address, so a valid one is never refused for what others behind
    the same address did.

    Raises:
        ServiceError: what ``check`` raises.
        RateLimitedError: this address had too many refused.
        RateLimitStorageUnavailableError: the storage is unavailable and the policy is ``deny``.
    """
    try:
        return check(incoming.authorization)
    except InvalidTokenError:
        limits.count_failed_auth(incoming.address)
        raise


@dataclass(frozen=True, slots=True)
class Mint:
    """Mint a client secret. ``parse`` reads the body of the route that asks."""

    parse: Callable[[bytes], TokenRequest]
    vendor: Vendor
    transport: Transport
    event: str = "mint"

    def read(self, body: bytes) -> TokenRequest:
        """Read what is asked for."""
        return self.parse(body)

    def act(self, caller: Caller, request: TokenRequest, grant: Grant) -> ClientSecret:
        """Ask the vendor for a secret; the caller's pseudonym names the end user to its abuse checks."""
        del request  # the grant has all of it
        response = self.transport.send(self.vendor.mint(grant, caller.pseudonym))
        return self.vendor.read_mint(response)


@dataclass(frozen=True, slots=True)
class OpenCall:
    """Open a call: reserve a slot and minutes, ask the vendor once, record its id, and only then answer.

    ``parse`` reads the body of the route that asks; what it returns has an ``offer``. ``has_left`` tells whether the
    client has closed its connection, where that can be known.
    """

    parse: Callable[[bytes], TokenRequest]
    calls: Calls
    vendor: Vendor
    transport: Transport
    has_left: Callable[[], bool] = bool
    event: str = "call"

    @property
    def api(self) -> CallApi:
        """How the vendor opens calls."""
        assert self.vendor.calls is not None  # noqa: S101 - who has none has no routes either; tells mypy
        return self.vendor.calls

    def read(self, body: bytes) -> TokenRequest:
        """Read what is asked for."""
        return self.parse(body)

    def act(self, caller: Caller, request: TokenRequest, grant: Grant) -> OpenedAtVendor:
        """Open the call. One whose answer is of no use, or whose client has left meanwhile, is ended again."""
        assert request.offer is not None  # noqa: S101 - every parser of a call reads one; tells mypy
        asked, offer = self.calls.rules.request(caller, grant), request.offer
        upstream = self.api.open_call(grant, offer, caller.pseudonym)
        ask = partial(self._ask, caller, upstream, offer)
        opened = open_call(self.calls.registry, self.calls.keeper, asked, ask)
        if not opened.answer.sdp:
            self.calls.end(opened.call.id, "unknown")
            raise bad_response("the answer to an opening holds no SDP that can be used; the call is ended")
        if self.has_left():
            self.calls.end(opened.call.id, "client")
            raise CallEndedError("The client left while its call was being opened.")
        return opened

    def _ask(
        self, caller: Caller, upstream: Request, offer: Offer, reservation: Reservation
    ) -> OpenedSession:
        """Ask the vendor once, and tell apart what surely opened no session and what may have."""
        try:
            self.calls.rules.check(caller, reservation)
        except ServiceError as error:
            raise OpeningFailedError(error, definite=True) from error
        try:
            response = self.transport.send(upstream)
        except (UpstreamUnavailableError, UpstreamTimeoutError) as error:
            raise OpeningFailedError(error, definite=not error.sent) from error
        except ServiceError as error:
            raise OpeningFailedError(error, definite=False) from error
        if response.status not in {HTTPStatus.OK, HTTPStatus.CREATED}:
            refusal = without_offer(self.vendor.error(response), offer)
            raise OpeningFailedError(refusal, definite=self.api.is_refusal(response))
        try:
            return self.api.read_call(reservation.call.type, response)
        except ServiceError as error:
            raise OpeningFailedError(error, definite=False) from error


def without_offer(error: ServiceError, offer: Offer) -> ServiceError:
    """Return the vendor's refusal, without its words where they repeat a line of the offer, which holds addresses."""
    lines = (line.strip() for line in offer.sdp.decode(errors="replace").splitlines())
    if any(len(line) >= _SHORTEST_LINE and line in error.message for line in lines):
        return RejectedSessionError("The Realtime API refused the offer.", param="sdp", reason=error.reason)
    return error


def _minutes(result: object, error: ServiceError | None) -> tuple[MinuteStatus, ...]:
    """Return how the caller's minutes stand, where an action has found that out."""
    if isinstance(result, OpenedCall):
        return result.reservation.minutes
    return error.minutes if isinstance(error, CallLimitError) else ()
