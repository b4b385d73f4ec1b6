"""The routes that act at the vendor: a view chooses the shapes of body and response; ``exchange`` does the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from flask import Blueprint, Response

from service.core.errors import InvalidRequestError
from service.core.model import ClientSecret, Event, Grant, TokenRequest
from service.exchange import Exchange, Outcome
from service.http.request import RecordedRequest, current_request, read_json
from service.http.responses import json_response
from service.http.schemas import ClientSecretBody, RequestBody, TokenBody, TranslationSecretBody, parse_body
from service.http.settings import HttpSettings
from service.vendors import wire
from service.vendors.base import PublicEndpoint, Vendor
from service.vendors.minting import Mint
from service.vendors.transport import Transport

Result = TypeVar("Result")

EVENTS: dict[str, Event] = {"tokens": "mint", "calls": "call"}
"""The audit event of each blueprint that has one."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the views call. What they tell clients comes from ``endpoint``, which has no place for a key."""

    exchange: Exchange
    vendor: Vendor
    models: frozenset[str]
    transport: Transport
    endpoint: PublicEndpoint
    http: HttpSettings


def token_routes(services: Services) -> Blueprint:
    """Make the routes that mint."""
    routes = Blueprint("tokens", __name__)

    @routes.post("/token")
    def token() -> Response:
        """Mint a client secret, with all a client needs to open the socket."""
        grant, secret = mint(services, partial(parse_body, TokenBody))
        connection = services.vendor.connection(secret.value, grant, services.endpoint)
        return json_response(
            {
                "value": secret.value,
                "expires_at": secret.expires_at,
                "session": secret.session,
                "connection": connection,
            }
        )

    @routes.post("/v1" + wire.CLIENT_SECRETS_PATH)
    def client_secrets() -> Response:
        """Mint for the vendor's own SDKs: its request, its response."""
        _, secret = mint(services, partial(parse_drop_in, services.vendor, ClientSecretBody))
        return json_response(secret.answer)

    @routes.post("/v1" + wire.TRANSLATION_CLIENT_SECRETS_PATH)
    def translation_client_secrets() -> Response:
        """Mint for the vendor's own SDKs, a translation session."""
        _, secret = mint(services, partial(parse_drop_in, services.vendor, TranslationSecretBody))
        return json_response(secret.answer)

    return routes


def mint(services: Services, parse: Callable[[bytes], TokenRequest]) -> tuple[Grant, ClientSecret]:
    """Run the exchange for one secret, and leave its record with the request. ``parse`` reads the route's body.

    Raises:
        ServiceError: the record's, for the error handler to answer.
    """
    request, http = current_request(), services.http
    incoming = request.incoming(
        addresses=http.addresses,
        read_body=partial(read_json, request, max_bytes=http.max_body_bytes),
    )
    action = Mint(parse, services.vendor, services.transport, services.models)
    secret = take_result(request, services.exchange.run(action, incoming, request.record))
    return request.record.grant, secret  # type: ignore[return-value]  # with a secret there is a grant


def take_result(request: RecordedRequest, outcome: Outcome[Result]) -> Result:
    """Leave an exchange's record with its request, and return what came of it.

    Raises:
        ServiceError: the record's, for the error handler to answer.
    """
    request.record = outcome.record
    if outcome.record.error:
        raise outcome.record.error
    return outcome.result  # type: ignore[return-value]  # without an error there is one


def parse_drop_in(vendor: Vendor, body: type[RequestBody], raw: bytes) -> TokenRequest:
    """Read a body of a drop-in route.

    Raises:
        InvalidRequestError: the vendor's SDKs do not mint in this dialect, or what ``parse_body`` says.
    """
    if not vendor.drop_in:
        name = vendor.layout.name
        raise InvalidRequestError(f"This route is not available with {name}; use POST /token.")
    return parse_body(body, raw)
