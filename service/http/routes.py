"""HTTP: the one room that knows requests and responses.

``issue`` is the walk through the house; the views only choose a body's shape and an answer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from flask import Blueprint, Response, g, jsonify, request

from service.auth.authenticator import Authenticator
from service.core.errors import InvalidRequestError, InvalidTokenError, ServiceError
from service.core.model import Caller, ClientSecret, Grant
from service.http.client_address import client_address
from service.http.request_body import read_json
from service.http.schemas import ClientSecretBody, RequestBody, TokenBody, TranslationSecretBody, parse_body
from service.limits.limiter import RateLimits
from service.limits.quota import Quota
from service.observe.audit import Audit
from service.observe.metrics import Metrics
from service.policy import Policy
from service.vendors import wire
from service.vendors.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Parts:
    """What a request passes, in the order it passes it."""

    authenticator: Authenticator
    policy: Policy
    limits: RateLimits
    upstream: Upstream
    audit: Audit
    metrics: Metrics
    public_api: wire.Api
    max_body_bytes: int
    trusted_proxy_hops: int = 0


@dataclass(slots=True)
class Trace:
    """What is known of the request so far, for its log line, its metrics and its headers."""

    request_id: str
    started: float = field(default_factory=perf_counter)
    upstream_seconds: float | None = None
    caller: Caller | None = None
    grant: Grant | None = None
    quota: Quota | None = None
    code: str | None = None


def token_routes(parts: Parts) -> Blueprint:
    """Make the routes that mint."""
    routes = Blueprint("tokens", __name__)

    @routes.post("/token")
    def token() -> Response:
        """Mint a client secret, with all a client needs to open the socket."""
        grant, secret = issue(parts, TokenBody)
        connection = wire.connection(
            secret.value,
            session_type=grant.session_type,
            model=grant.model,
            api=parts.public_api,
        )
        return jsonify(
            value=secret.value, expires_at=secret.expires_at, session=secret.session, connection=connection
        )

    @routes.post("/v1" + wire.CLIENT_SECRETS_PATH)
    def client_secrets() -> Response:
        """Mint for the vendor's own SDKs: its request, its answer."""
        return drop_in(parts, ClientSecretBody)

    @routes.post("/v1" + wire.TRANSLATION_CLIENT_SECRETS_PATH)
    def translation_client_secrets() -> Response:
        """Mint for the vendor's own SDKs, a translation session."""
        return drop_in(parts, TranslationSecretBody)

    return routes


def drop_in(parts: Parts, body: type[RequestBody]) -> Response:
    """Answer as the vendor does, behind our authentication, policy and limits."""
    if parts.public_api.beta:
        raise InvalidRequestError("REALTIME_API=beta has no client secrets; ask at POST /token instead.")
    _, secret = issue(parts, body)
    return jsonify(secret.answer)


def issue(parts: Parts, body: type[RequestBody]) -> tuple[Grant, ClientSecret]:
    """Mint one secret: who are you, what may you have, how often, mint, what happened."""
    trace: Trace = g.trace
    with audited(parts, trace):
        trace.caller = caller = authenticate(parts)
        trace.grant = grant = parts.policy.decide(
            caller, parse_body(body, read_json(request, max_bytes=parts.max_body_bytes))
        )
        trace.quota = parts.limits.acquire(caller)
        secret = mint(parts.upstream, grant, caller, trace)
    parts.audit.minted(caller, grant, secret, request_id=trace.request_id)
    parts.metrics.minted(grant)
    return grant, secret


@contextmanager
def audited(parts: Parts, trace: Trace) -> Iterator[None]:
    """Record a refusal on its way out, with as much as was known by then."""
    try:
        yield
    except ServiceError as error:
        parts.audit.refused(error, caller=trace.caller, grant=trace.grant, request_id=trace.request_id)
        parts.metrics.refused(error)
        raise
    finally:
        parts.metrics.limit_storage(parts.limits.state())


def authenticate(parts: Parts) -> Caller:
    """Tell who calls; a refused credential counts against the address it came from, and only there."""
    try:
        return parts.authenticator.authenticate(request.headers.get("Authorization"))
    except InvalidTokenError:
        forwarded_for = request.headers.get("X-Forwarded-For")
        address = client_address(request.remote_addr, forwarded_for, parts.trusted_proxy_hops)
        parts.limits.count_failed_auth(address)
        raise


def mint(upstream: Upstream, grant: Grant, caller: Caller, trace: Trace) -> ClientSecret:
    """Mint, and note how long the vendor took."""
    started = perf_counter()
    try:
        return upstream.mint(grant, safety_identifier=caller.pseudonym)
    finally:
        trace.upstream_seconds = perf_counter() - started
