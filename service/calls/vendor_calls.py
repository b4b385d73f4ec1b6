"""Calls at the vendor: opening them, ending them, and asking whether they still run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Final

from service.calls.endings import Outcome, VendorCalls
from service.calls.errors import CallEndedError, CallRegistryUnavailableError
from service.calls.factory import Calls
from service.calls.model import Call, Cause, Reservation
from service.calls.offer_words import without_offer
from service.calls.opening import OpenedCall, OpeningFailedError, open_call
from service.core.errors import ServiceError, UpstreamError, UpstreamTimeoutError
from service.core.model import Caller, Event, Grant, Offer, TokenRequest
from service.vendors.base import CallApi, OpenedSession, Request, Response, Vendor
from service.vendors.connections import Progress
from service.vendors.control_sockets import ControlSocketError, ControlSockets
from service.vendors.minting import mint_secret
from service.vendors.responses import bad_response
from service.vendors.transport import Transport

OpenedAtVendor = OpenedCall[OpenedSession]

_OPENED: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED})

SOCKET_SECONDS: Final = 11.0
"""How long the vendor may take to close a session: usually half a second, with an answer under way over eight."""

_SHORTEST_OPENING: Final = 0.25
"""Seconds that the vendor takes to open a session (observed): with less left, nobody would learn of the session."""

_UNSETTLED: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""Refusals of a hangup that say nothing about the call."""

_SURE_ATTEMPT: Final = 6
"""At which attempt, half a minute after the first, a hangup's 404 is believed although no control socket was opened.

A hangup is documented of some types of call only, so before that its 404 alone proves nothing. Later it does: a network
may never let a control socket through, and a call that has ended would hold its slot until the vendor's maximum.
"""

_TOTAL_SECONDS: Final = 14.5
"""Maximum duration of one attempt to end or check a call, within the keeper's 15 s for an attempt."""


@dataclass(frozen=True, slots=True)
class OpenCall:
    """Open a call, an action of ``exchange``: reserve, ask the vendor once, record its id, and only then answer.

    ``parse`` reads the body of the route that asks; what it returns has an ``offer``. ``has_left`` tells whether the
    client has closed its connection, where that can be known.
    """

    parse: Callable[[bytes], TokenRequest]
    calls: Calls
    vendor: Vendor
    transport: Transport
    has_left: Callable[[], bool] = bool
    event: Event = "call"

    @property
    def api(self) -> CallApi:
        """How the vendor opens calls."""
        assert self.vendor.calls is not None  # noqa: S101 - who has none has no routes either; tells mypy
        return self.vendor.calls

    def read(self, body: bytes) -> TokenRequest:
        """Read what is asked for."""
        return self.parse(body)

    def act(self, caller: Caller, request: TokenRequest, grant: Grant) -> OpenedAtVendor:
        """Open the call. One whose response is unusable, or whose client has left meanwhile, is ended again."""
        assert request.offer is not None  # noqa: S101 - every parser of a call reads one; tells mypy
        asked, offer = self.calls.rules.request(caller, grant), request.offer
        ask = partial(self._ask, caller, grant, offer)
        opened = open_call(self.calls.registry, self.calls.keeper, asked, ask)
        if opened.answer.problem:
            self._end(opened.call, "unknown")
            raise opened.answer.problem
        if self.has_left():
            self._end(opened.call, "client")
            raise CallEndedError("The client left while its call was being opened.")
        return opened

    def _end(self, call: Call, cause: Cause) -> None:
        """End a call that its caller cannot use, even while the storage is away: the caller gets the original error."""
        try:
            self.calls.end(call.id, cause)
        except CallRegistryUnavailableError:
            self.calls.keeper.end_without_storage(call.id)

    def _write_opening(
        self, caller: Caller, grant: Grant, offer: Offer, reservation: Reservation, end: float
    ) -> Request:
        """Write the opening, with a client secret that is minted for it where the vendor wants one.

        Raises:
            OpeningFailedError: it is not to be opened, there is no secret, or no time is left until ``end`` to open
                it, so that surely nothing was.
        """
        try:
            self.calls.rules.check(caller, reservation)
            mint = self.api.mint_for_call(grant, caller.pseudonym)
            minted = mint_secret(self.vendor, self.transport, mint, grant, ()) if mint else None
            if (left := end - monotonic()) < _SHORTEST_OPENING:
                raise UpstreamTimeoutError(
                    "The Realtime API did not answer in time. Try again.",
                    reason=f"minting left {left:.2f} s to open the call; it was not tried",
                )
        except ServiceError as error:
            raise OpeningFailedError(error, definite=True) from error
        return self.api.open_call(grant, offer, caller.pseudonym, minted.value if minted else None)

    def _ask(self, caller: Caller, grant: Grant, offer: Offer, reservation: Reservation) -> OpenedSession:
        """Ask the vendor once, and tell apart what surely opened no session and what may have."""
        end, progress = monotonic() + self.transport.timeout, Progress()
        opened: list[OpenedSession] = []

        def read(response: Response) -> None:
            """Read an answer that is no refusal, before its connection is used again."""
            if response.status in _OPENED:
                opened.append(self._read(reservation, response))

        upstream = self._write_opening(caller, grant, offer, reservation, end)
        try:
            response = self.transport.send(
                upstream, check=read, seconds=max(0.001, end - monotonic()), progress=progress
            )
        except ServiceError as error:
            if progress.head and not opened:
                with suppress(UpstreamError):
                    read(progress.head)  # the body was incomplete, but its head may have named the session
            if opened:
                return replace(opened[-1], problem=error)
            is_refused = progress.head is not None and self.api.is_refusal(progress.head)
            raise OpeningFailedError(error, definite=is_refused or not progress.sent) from error
        if opened:
            return opened[-1]
        refusal = without_offer(self.vendor.error(response), offer)
        raise OpeningFailedError(refusal, definite=self.api.is_refusal(response))

    def _read(self, reservation: Reservation, response: Response) -> OpenedSession:
        """Read which session was opened.

        Raises:
            UpstreamError: none, or one of another call: an answer that belongs to an earlier request.
        """
        session = self.api.read_call(reservation.call.type, response)
        if response.may_be_stray and self.calls.keeper.own.knows(session.upstream_id):
            raise bad_response("the vendor returned another call's session id")
        return session


class CallsAtVendor:
    """Ends calls over HTTP and control sockets, each try within the bounds of both."""

    def __init__(self, api: CallApi, transport: Transport, sockets: ControlSockets) -> None:
        self._api = api
        self._transport = transport
        self._sockets = sockets

    @property
    def questions(self) -> VendorCalls:
        """What the keeper asks."""
        return VendorCalls(end=self.end, check=self.check)

    def end(self, call: Call) -> Outcome:
        """End a call: over its control socket where that comes first, then by a request."""
        ending = self._api.end_call(call.type, call.upstream_id or "")
        end_at, refusal = monotonic() + _TOTAL_SECONDS, None
        if ending.socket_path:
            try:
                closing = self._sockets.send(
                    ending.socket_path, ending.message, self._api.read_closing, seconds=SOCKET_SECONDS
                )
            except ControlSocketError as error:
                refusal = error
            else:
                return Outcome("ended", closing.seconds)
        outcome = self._hang_up(call, ending.request, refusal, end_at - monotonic())
        if outcome.state == "ended" and refusal:
            return self._verify(call, end_at - monotonic())
        return outcome

    def check(self, call: Call) -> Outcome:
        """Ask whether a call still runs; one whose control socket answers 404 is ended, to be sure.

        Where the vendor answers 404 until the client is connected, a session that no client has reached runs as well.
        """
        end_at = monotonic() + _TOTAL_SECONDS
        outcome = self._look(call, SOCKET_SECONDS)
        if outcome.state != "not_found":
            return outcome
        request = self._api.end_call(call.type, call.upstream_id or "").request
        try:
            status = self._transport.send(request, seconds=end_at - monotonic()).status
        except ServiceError as error:
            return Outcome("failed", reason=f"the hangup failed: {error.reason}")
        # Any other refusal, as where this type of call has no hangup, leaves what the control socket has told.
        if status in _UNSETTLED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Outcome("failed", reason=f"the hangup was answered {status}")
        return outcome

    def _look(self, call: Call, seconds: float) -> Outcome:
        path = self._api.control_socket(call.type, call.upstream_id or "")
        try:
            return Outcome("running" if self._sockets.is_open(path, seconds=seconds) else "not_found")
        except ControlSocketError as error:
            return Outcome("failed", reason=str(error))

    def _hang_up(
        self, call: Call, request: Request, refusal: ControlSocketError | None, seconds: float
    ) -> Outcome:
        """Ask over HTTP. ``refusal``: what the control socket said before, where this type of call is ended by one."""
        before = f"{refusal}; " if refusal else ""
        try:
            status = self._transport.send(request, seconds=seconds).status
        except ServiceError as error:
            return Outcome("failed", reason=f"{before}the hangup failed: {error.reason}")
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return Outcome("ended")
        is_sure = refusal is None or refusal.status == HTTPStatus.NOT_FOUND or call.attempts >= _SURE_ATTEMPT
        is_gone = status == HTTPStatus.NOT_FOUND and is_sure
        return Outcome(
            "not_found" if is_gone else "failed", reason=f"{before}the hangup was answered {status}"
        )

    def _verify(self, call: Call, seconds: float) -> Outcome:
        """Look whether a hangup did end a call: for some that is documented only of telephone calls."""
        still = self._look(call, max(1.0, seconds))
        if still.state == "running":
            return Outcome("failed", reason="the hangup was accepted, but the session is still running")
        return Outcome("ended")
