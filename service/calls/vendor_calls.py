"""Calls at the vendor: ending them, and asking whether they still run, as the keeper needs it."""

from __future__ import annotations

from http import HTTPStatus
from time import monotonic
from typing import Final

from service.calls.endings import Outcome, VendorCalls
from service.calls.model import Call
from service.core.errors import ServiceError
from service.vendors.base import CallApi, Ending
from service.vendors.control_sockets import ControlSocketError, ControlSockets
from service.vendors.transport import Transport

SOCKET_SECONDS: Final = 11.0
"""How long the vendor may take to close a session: usually half a second, with an answer under way over eight."""

_TOTAL_SECONDS: Final = 14.5
"""For all of one try, within the keeper's 15 s for an attempt."""


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
