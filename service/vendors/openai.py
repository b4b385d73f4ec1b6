"""OpenAI's Realtime API: its requests, its responses, its errors.

Sources: the vendor's API reference (https://platform.openai.com/docs/api-reference/realtime-sessions) and its error
codes (https://platform.openai.com/docs/guides/error-codes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from service.core.errors import (
    RejectedCredentialsError,
    RejectedSessionError,
    ServiceError,
    UpstreamError,
    UpstreamQuotaExhaustedError,
    UpstreamRateLimitedError,
    UpstreamUnavailableError,
)
from service.core.json import encode_object, parse_object
from service.core.model import ClientSecret, Grant, SessionType
from service.vendors import layouts, wire
from service.vendors.base import CallApi, PublicEndpoint, Request, Response, SessionLayout

RETRYABLE_STATUSES = frozenset({
    HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT, *range(520, 531),
})  # fmt: skip
"""The vendor's edge or servers are unavailable for the moment.

520 to 530 are its edge's own (https://developers.cloudflare.com/support/troubleshooting/http-status-codes/).
"""

_QUOTA_CODE = re.compile(
    r"insufficient_quota|credit_balance_\w+|billing_\w+|(project|organization)_\w*(limit|quota|credit|budget)\w*"
)
"""The codes, and types, of an account without credit, or with a spend limit that is reached."""

_LOGGED_STATUSES = frozenset({
    HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY,
})  # fmt: skip
"""Refusals whose cause only the vendor's words tell."""

_KEY = re.compile(r"\bsk-[\w*.-]+")
"""A key, whole or as the vendor's messages mask it."""


MAX_RETRY_AFTER: Final = 600
"""Seconds. A longer wait is nothing to go by, and clients would keep to it."""

_SECRET: Final = re.compile(r"[!-+\--~]{1,4096}")
"""What a header or a list of subprotocols can carry: visible ASCII without the comma that separates its members."""


@dataclass(frozen=True, slots=True)
class OpenAI:
    """Today's API: ``client_secrets`` for conversations, transcriptions and translations."""

    name: str = "openai"
    layout: SessionLayout = layouts.OPENAI
    drop_in: bool = True
    lists_models: bool = True
    notes: tuple[str, ...] = ()
    calls: CallApi | None = None

    def mint(self, grant: Grant, user: str) -> Request:
        """Write the request for a client secret.

        ``anchor`` is always sent: the vendor was seen to refuse a request without it.
        """
        session, path = grant.session, wire.CLIENT_SECRETS_PATH
        if grant.session_type == "translation":
            session = {name: value for name, value in session.items() if name != "type"}
            path = wire.TRANSLATION_CLIENT_SECRETS_PATH
        expires_after = {"anchor": "created_at", "seconds": grant.expires_in}
        body = encode_object({"expires_after": expires_after, "session": session})
        return mint_request(path, user, body)

    def read_mint(self, response: Response, grant: Grant) -> ClientSecret:  # noqa: ARG002 - others need it
        """Read the answer to a mint."""
        answer = read_answer(response, self.error)
        return client_secret(response, holder=answer, session=answer.get("session"), answer=answer)

    def connection(self, secret: str, grant: Grant, endpoint: PublicEndpoint) -> dict[str, Any]:
        """List all that a client needs to open a session with ``secret``: WebSocket and WebRTC alike."""
        return connection(secret, grant, endpoint)

    def models(self) -> Request:
        """Write the request that lists the models."""
        return Request("GET", wire.MODELS_PATH, retryable=True)

    def try_model(self, model: str) -> Request | None:  # noqa: ARG002 - the list tells
        """Write nothing: the list of models tells."""
        return None

    def error(self, response: Response) -> ServiceError:
        """Turn the vendor's refusal into ours."""
        status, said = response.status, read_error(response.body)
        request_id = response.headers.get(wire.REQUEST_ID_HEADER)
        reason = f"the vendor answered {status}, code {said.get('code')!r} (request {request_id})"
        if status in _LOGGED_STATUSES and isinstance(said.get("message"), str):
            reason += f": {_KEY.sub('***', said['message'])}"
        if any(_QUOTA_CODE.fullmatch(str(said.get(member))) for member in ("code", "type")):
            return UpstreamQuotaExhaustedError(
                "The token service has used up its quota upstream; its administrator has been told.",
                reason=f"{reason}: add credit, or raise the spend limit, at the vendor",
            )
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return RejectedCredentialsError(
                "The token service cannot sign in upstream; its administrator has been told.", reason=reason
            )
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return UpstreamRateLimitedError(
                "The Realtime API is limiting this service at the moment. Try again later.",
                reason=reason,
                retry_after=retry_after(response.headers),
            )
        if status in RETRYABLE_STATUSES:
            return UpstreamUnavailableError(
                "The Realtime API is unavailable at the moment. Try again later.",
                reason=reason,
                retry_after=retry_after(response.headers),
            )
        if status == HTTPStatus.BAD_REQUEST and isinstance(said.get("message"), str):
            param, code = (
                said[name] if isinstance(said.get(name), str) else None for name in ("param", "code")
            )
            return RejectedSessionError(said["message"], param=param, code=code, reason=reason)
        return bad_response(reason)


def mint_request(path: str, user: str, body: bytes, **headers: str) -> Request:
    """Write a POST of JSON that may be tried again, on behalf of an end user."""
    all_headers = {"Content-Type": "application/json", wire.SAFETY_IDENTIFIER_HEADER: user, **headers}
    return Request("POST", path, all_headers, body, retryable=True)


def read_answer(response: Response, error: Any) -> dict[str, Any]:
    """Read the JSON object of a 200.

    Raises:
        ServiceError: what ``error`` makes of another status, or an ``UpstreamError`` for what is no JSON object.
    """
    if response.status != HTTPStatus.OK:
        refused: ServiceError = error(response)
        raise refused
    try:
        return parse_object(response.body, unique_members=False)
    except ValueError as problem:
        kind = str(problem).partition(":")[0]  # without the parser's position, which is no help in a log
        raise bad_response(f"the answer {kind}{_request_id(response)}") from None


def client_secret(
    response: Response, *, holder: Any, session: Any, answer: Mapping[str, Any]
) -> ClientSecret:
    """Make a client secret of an answer; ``holder`` has its ``value`` and ``expires_at``.

    Raises:
        UpstreamError: a member is missing or of another type.
    """
    value = holder.get("value") if isinstance(holder, dict) else None
    expires_at = holder.get("expires_at") if isinstance(holder, dict) else None
    is_secret = isinstance(value, str) and _SECRET.fullmatch(value) is not None
    if not (is_secret and type(expires_at) is int and isinstance(session, dict)):
        raise bad_response(f"the answer holds no usable client secret{_request_id(response)}")
    request_id = response.headers.get(wire.REQUEST_ID_HEADER)
    return ClientSecret(
        value=str(value),
        expires_at=expires_at,
        session=session,
        answer=answer,
        upstream_request_id=request_id,
    )


def connection(secret: str, grant: Grant, endpoint: PublicEndpoint, *, beta: bool = False) -> dict[str, Any]:
    """List the WebSocket to open, its subprotocols, and where a WebRTC client posts its offer."""
    translation = grant.session_type == "translation"
    calls = wire.TRANSLATION_CALLS_PATH if translation else wire.CALLS_PATH
    return {
        "url": websocket_url(endpoint.base_url, grant.session_type, grant.model),
        "protocols": wire.subprotocols(
            secret, organization=endpoint.organization, project=endpoint.project, beta=beta
        ),
        "calls_url": endpoint.base_url + calls,
    }


@lru_cache(maxsize=256)  # models are few, and this is on the path of every mint
def websocket_url(base_url: str, session_type: SessionType, model: str) -> str:
    """Return the URL that a client opens, below ``base_url`` (http becomes ws, https wss)."""
    scheme = "ws" if urlsplit(base_url).scheme == "http" else "wss"
    base = f"{scheme}:{base_url.partition(':')[2]}"
    if session_type == "transcription":
        return f"{base}{wire.REALTIME_PATH}?intent=transcription"
    path = wire.TRANSLATIONS_PATH if session_type == "translation" else wire.REALTIME_PATH
    return f"{base}{path}?{urlencode({'model': model})}"


def read_error(body: bytes) -> Mapping[str, Any]:
    """Read the vendor's error object; an empty one where the body is something else."""
    try:
        error = parse_object(body, unique_members=False).get("error")
    except ValueError:
        return {}
    return error if isinstance(error, dict) else {}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds the vendor asks to wait: ``retry-after-ms``, or ``retry-after`` in seconds.

    At most ``MAX_RETRY_AFTER``. The date form (RFC 9110 §10.2.3) is not used by the vendor and counts as not given.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return min(seconds, MAX_RETRY_AFTER)
    return None


def bad_response(reason: str) -> UpstreamError:
    """Make the error for an answer that cannot be used; ``reason`` is for the log."""
    return UpstreamError("The Realtime API gave an answer that the token service cannot use.", reason=reason)


def _request_id(response: Response) -> str:
    return f" (request {response.headers.get(wire.REQUEST_ID_HEADER)})"
