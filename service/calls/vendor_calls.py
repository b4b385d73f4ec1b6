"""Calls at the vendor: opening them, ending them, and asking whether they still run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Final

from service.calls.endings import Outcome, VendorCalls
from service.calls.errors import CallEndedError
from service.calls.factory import Calls
from service.calls.model import Call, Reservation
from service.calls.opening import OpenedCall, OpeningFailedError, open_call
from service.core.errors import (
    RejectedCredentialsError,
    RejectedSessionError,
    ServiceError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from service.core.model import Caller, Grant, Offer, TokenRequest
from service.vendors.base import CallApi, Ending, OpenedSession, Request, Vendor
from service.vendors.control_sockets import ControlSocketError, ControlSockets
from service.vendors.responses import bad_response
from service.vendors.transport import Transport

OpenedAtVendor = OpenedCall[OpenedSession]

_LONGEST_WORDS: Final = 1000
"""Characters of the vendor's words about an opening: longer ones repeat what was sent to it."""

_SHORTEST_LINE: Final = 8
"""Characters: a shorter line of an offer, such as ``v=0``, says nothing of anybody."""

SOCKET_SECONDS: Final = 11.0
"""How long the vendor may take to close a session: usually half a second, with an answer under way over eight."""

_TOTAL_SECONDS: Final = 14.5
"""For all of one try, within the keeper's 15 s for an attempt."""


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
        ask = partial(self._ask, caller, grant, offer)
        opened = open_call(self.calls.registry, self.calls.keeper, asked, ask)
        if not opened.answer.sdp:
            self.calls.end(opened.call.id, "unknown")
            raise bad_response("the answer to an opening holds no SDP that can be used; the call is ended")
        if self.has_left():
            self.calls.end(opened.call.id, "client")
            raise CallEndedError("The client left while its call was being opened.")
        return opened

    def _write_opening(self, caller: Caller, grant: Grant, offer: Offer, reservation: Reservation) -> Request:
        """Write the opening, with a client secret that is minted for it where the vendor wants one.

        Raises:
            OpeningFailedError: it is not to be opened, or there is no secret, so that surely nothing was.
        """
        try:
            self.calls.rules.check(caller, reservation)
            mint = self.api.mint_for_call(grant, caller.pseudonym)
            secret = self.vendor.read_mint(self.transport.send(mint), grant).value if mint else None
        except ServiceError as error:
            raise OpeningFailedError(error, definite=True) from error
        return self.api.open_call(grant, offer, caller.pseudonym, secret)

    def _ask(self, caller: Caller, grant: Grant, offer: Offer, reservation: Reservation) -> OpenedSession:
        """Ask the vendor once, and tell apart what surely opened no session and what may have."""
        end = monotonic() + self.transport.timeout
        upstream = self._write_opening(caller, grant, offer, reservation)
        try:
            response = self.transport.send(upstream, seconds=max(0.001, end - monotonic()))
        except RejectedCredentialsError as error:  # there is no credential, so nothing was sent
            raise OpeningFailedError(error, definite=True) from error
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
    message, length = error.message, _SHORTEST_LINE
    # Each line is looked for only where its beginning occurs: an offer may have thousands of them.
    beginnings = {message[start : start + length] for start in range(len(message) - length + 1)}
    lines = (line.strip() for line in offer.sdp.decode(errors="replace").splitlines())
    repeats = (line for line in lines if line[:length] in beginnings and line in message)
    if len(message) > _LONGEST_WORDS or any(repeats):
        return RejectedSessionError("The Realtime API refused the offer.", param="sdp", reason=error.reason)
    return error


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
        end_at, refused = monotonic() + _TOTAL_SECONDS, ""
        if ending.socket_path:
            try:
                closing = self._sockets.send(
                    ending.socket_path, ending.message, self._api.read_closing, seconds=SOCKET_SECONDS
                )
            except ControlSocketError as error:
                refused = f"{error}; "
            else:
                return Outcome("ended", closing.seconds)
        outcome = self._hang_up(ending, refused, end_at - monotonic())
        if outcome.state == "ended" and ending.socket_path:
            return self._verify(call, end_at - monotonic())
        return outcome

    def check(self, call: Call) -> Outcome:
        """Ask whether a call still runs."""
        return self._look(call, _TOTAL_SECONDS)

    def _look(self, call: Call, seconds: float) -> Outcome:
        path = self._api.control_socket(call.type, call.upstream_id or "")
        try:
            return Outcome("running" if self._sockets.is_open(path, seconds=seconds) else "not_found")
        except ControlSocketError as error:
            return Outcome("failed", reason=str(error))

    def _hang_up(self, ending: Ending, refused: str, seconds: float) -> Outcome:
        try:
            status = self._transport.send(ending.request, seconds=seconds).status
        except ServiceError as error:
            return Outcome("failed", reason=f"{refused}the hangup failed: {error.reason}")
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return Outcome("ended")
        reason = f"{refused}the hangup was answered {status}"
        return Outcome("not_found" if status == HTTPStatus.NOT_FOUND else "failed", reason=reason)

    def _verify(self, call: Call, seconds: float) -> Outcome:
        """Look whether a hangup did end a call: for some that is documented only of telephone calls."""
        still = self._look(call, max(1.0, seconds))
        if still.state == "running":
            return Outcome("failed", reason="the hangup was accepted, and the session still runs")
        return Outcome("ended")
