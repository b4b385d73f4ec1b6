"""The routes that act at the vendor: a view chooses a body's shape and a response's; ``exchange`` does the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from flask import Blueprint, Response

from service.core.errors import InternalError, InvalidRequestError
from service.core.model import ClientSecret, Grant, TokenRequest
from service.exchange import Exchange, Mint
from service.http.request_body import read_json
from service.http.responses import current_request, json_response
from service.http.schemas import ClientSecretBody, RequestBody, TokenBody, TranslationSecretBody, parse_body
from service.http.settings import HttpSettings
from service.vendors import wire
from service.vendors.base import PublicEndpoint, Vendor
from service.vendors.transport import Transport

EVENTS = {"tokens": "mint"}
"""The audit event of each blueprint here."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the views call. No member of it holds the vendor's key where a view could see it."""

    exchange: Exchange
    vendor: Vendor
    transport: Transport
    endpoint: PublicEndpoint
    http: HttpSettings


def token_routes(services: Services) -> Blueprint:
    """Make the routes that mint."""
    routes = Blueprint("tokens", __name__)

    @routes.post("/token")
    def token() -> Response:
        """Mint a client secret, with all a client needs to open the socket."""
        grant, secret = mint(services, TokenBody)
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
        _, secret = mint(services, ClientSecretBody)
        return json_response(secret.answer)

    @routes.post("/v1" + wire.TRANSLATION_CLIENT_SECRETS_PATH)
    def translation_client_secrets() -> Response:
        """Mint for the vendor's own SDKs, a translation session."""
        _, secret = mint(services, TranslationSecretBody)
        return json_response(secret.answer)

    return routes


def mint(services: Services, body: type[RequestBody]) -> tuple[Grant, ClientSecret]:
    """Run the exchange for one secret, and leave its record with the request.

    Raises:
        ServiceError: the record's, for the error handler to answer.
    """
    request, http = current_request(), services.http
    incoming = request.incoming(
        proxy_hops=http.trusted_proxy_hops,
        read_body=partial(read_json, request, max_bytes=http.max_body_bytes),
    )
    parse = partial(parse_drop_in if body is not TokenBody else parse_token, body, services.vendor)
    outcome = services.exchange.run(Mint(parse, services.vendor, services.transport), incoming)
    request.note(outcome.record)
    if outcome.result is None or outcome.record.grant is None:
        raise outcome.record.error or InternalError()
    return outcome.record.grant, outcome.result


def parse_token(body: type[RequestBody], _vendor: Vendor, raw: bytes) -> TokenRequest:
    """Read a body of this service's own route."""
    return parse_body(body, raw)


def parse_drop_in(body: type[RequestBody], vendor: Vendor, raw: bytes) -> TokenRequest:
    """Read a body of a drop-in route.

    Raises:
        InvalidRequestError: the vendor's SDKs do not mint in this dialect, or what ``parse_body`` says.
    """
    if not vendor.drop_in:
        raise InvalidRequestError("REALTIME_API=beta has no client secrets; ask at POST /token instead.")
    return parse_body(body, raw)
