"""The routes of calls: opening them in three shapes, reading and ending them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final, Generic, TypeVar

from flask import Blueprint, Response

from service.calls.errors import CallNotFoundError
from service.calls.factory import Calls
from service.calls.model import Call
from service.calls.vendor_calls import OpenCall, OpenedAtVendor
from service.core.errors import InvalidRequestError, RateLimitedError
from service.core.model import Caller, TokenRequest
from service.exchange import Control
from service.http.call_bodies import CallBody, LiveBody, parse_paging, parse_realtime, read_realtime
from service.http.request import RecordedRequest, current_request, read_json
from service.http.responses import json_response
from service.http.routes import Services, take_result
from service.http.schemas import parse_body
from service.vendors import wire

T = TypeVar("T")

RULES: Final = {
    "/calls": ["GET", "POST"],
    "/calls/<call_id>": ["GET", "DELETE"],
    "/v1" + wire.CALLS_PATH: ["POST"],
    f"/v1{wire.CALLS_PATH}/<call_id>/hangup": ["POST"],
    "/v1" + wire.LIVE_SESSIONS_PATH: ["POST"],
    f"/v1{wire.LIVE_SESSIONS_PATH}/<call_id>/hangup": ["POST"],
}
"""All of them."""

_NEVER_RETRIED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


def absent_call_routes(services: Services) -> Blueprint:
    """Make the same routes for a vendor that has no calls: each says so, to those who are signed in."""
    routes = Blueprint("calls", __name__)

    def refuse(_caller: Caller) -> Response:
        raise InvalidRequestError(f"{services.vendor.layout.name} has no calls.")

    def answer(**_: str) -> Response:
        return control(services, Reading(refuse))

    for rule, methods in RULES.items():
        routes.add_url_rule(rule, rule, answer, methods=methods)
    routes.after_request(forbid_retries)
    return routes


def call_routes(services: Services, calls: Calls) -> Blueprint:
    """Make the routes of a user's own calls."""
    routes = Blueprint("calls", __name__)
    read_body = partial(read_json, max_bytes=services.http.max_body_bytes)

    @routes.post("/calls")
    def open_a_call() -> Response:
        """Open a call of either type."""
        opened = open_call(services, calls, read_body, partial(parse_body, CallBody))
        body = {"call": opened.call.as_json(), "sdp": opened.answer.sdp.decode()}
        return json_response(body, HTTPStatus.CREATED, {"Location": f"/calls/{opened.call.id}"})

    @routes.post("/v1" + wire.CALLS_PATH)
    def open_realtime_call() -> Response:
        """Open a Realtime call for the vendor's own SDKs."""
        read = partial(read_realtime, max_bytes=services.http.max_body_bytes)
        opened = open_call(services, calls, read, partial(parse_realtime, current_request()))
        headers = {"Location": f"/v1{wire.CALLS_PATH}/{opened.call.id}"}
        return Response(opened.answer.sdp, HTTPStatus.CREATED, headers, content_type="application/sdp")

    @routes.post("/v1" + wire.LIVE_SESSIONS_PATH)
    def open_live_session() -> Response:
        """Open a Live session for the vendor's own SDKs."""
        opened = open_call(services, calls, read_body, partial(parse_body, LiveBody))
        transport = {"type": "webrtc", "sdp": opened.answer.sdp.decode()}
        return json_response({"session": {"id": opened.call.id}, "transport": transport}, HTTPStatus.CREATED)

    @routes.get("/calls")
    def list_calls() -> Response:
        """List the caller's open calls."""

        def read(caller: Caller) -> tuple[Call, ...]:
            page = parse_paging(current_request().args)
            return calls.registry.list_calls(
                states=("open",), user=caller.pseudonym, after=page.after, limit=page.limit
            )

        found = control(services, Reading(read))
        return json_response({"calls": [call.as_json() for call in found]})

    @routes.get("/calls/<call_id>")
    def read_call(call_id: str) -> Response:
        """Show one of the caller's calls."""
        call = control(services, Reading(lambda caller: calls.find(call_id, caller.pseudonym)))
        return json_response({"call": call.as_json()})

    @routes.delete("/calls/<call_id>")
    def end_call(call_id: str) -> Response:
        """End one of the caller's calls."""
        control(services, Ending(calls, call_id))
        return Response(status=HTTPStatus.NO_CONTENT)

    @routes.post(f"/v1{wire.CALLS_PATH}/<call_id>/hangup")
    @routes.post(f"/v1{wire.LIVE_SESSIONS_PATH}/<call_id>/hangup")
    def hang_up(call_id: str) -> Response:
        """End one as the vendor's own SDKs do."""
        control(services, Ending(calls, call_id))
        return Response(status=HTTPStatus.OK)

    routes.after_request(forbid_retries)
    return routes


def open_call(
    services: Services,
    calls: Calls,
    read_body: Callable[[RecordedRequest], bytes],
    parse: Callable[[bytes], TokenRequest],
) -> OpenedAtVendor:
    """Run the exchange for one call, and leave its record with the request. ``parse`` reads the route's body.

    Raises:
        ServiceError: the record's, for the error handler to answer.
    """
    request = current_request()
    incoming = request.incoming(addresses=services.http.addresses, read_body=partial(read_body, request))
    action = OpenCall(parse, calls, services.vendor, services.transport, has_left=request.client_has_left)
    return take_result(request, services.exchange.run(action, incoming, request.record))


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """Reads what belongs to the caller, within the limit of such requests."""

    read: Callable[[Caller], T]

    def is_exempt(self, caller: Caller) -> bool:  # noqa: ARG002 - no caller is
        """Exempt no caller."""
        return False

    def act(self, caller: Caller, limited: RateLimitedError | None) -> T:
        """Read it."""
        if limited:
            raise limited
        return self.read(caller)


@dataclass(frozen=True, slots=True)
class Ending:
    """Ends a call. Its first ending is never refused for the limit of such requests."""

    calls: Calls
    call_id: str

    def is_exempt(self, caller: Caller) -> bool:
        """Let the caller end a call once."""
        return self.calls.admits_ending(self.call_id, caller.pseudonym)

    def act(self, caller: Caller, limited: RateLimitedError | None) -> None:
        """Mark it, for the keeper to end."""
        change = self.calls.end(self.call_id, "client", user=caller.pseudonym)
        if limited and not (change and change.changed):
            raise limited
        if change is None:
            raise CallNotFoundError


def control(services: Services, action: Control[T]) -> T:
    """Run a request about calls that are open already, and leave its record with the request.

    Raises:
        ServiceError: the record's, for the error handler to answer.
    """
    request = current_request()
    incoming = request.incoming(addresses=services.http.addresses)
    return take_result(request, services.exchange.control(action, incoming, request.record))


def forbid_retries(response: Response) -> Response:
    """Tell the vendor's SDKs, which retry by themselves, not to open a second session after a failure.

    What failed after the reservation may have opened one, and a call that is refused for now would only be refused
    again.
    """
    acted = current_request().record.upstream_seconds is not None
    failed = response.status_code >= HTTPStatus.BAD_REQUEST
    if failed and (acted or response.status_code in _NEVER_RETRIED):
        response.headers["x-should-retry"] = "false"
    return response
