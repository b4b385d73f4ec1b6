"""The operations of this API: what each takes, and every way in which it may end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from service.core import errors
from service.http import schemas
from service.vendors import wire

SCHEMA_REF = "#/components/schemas/{model}"
"""Where an operation finds a model's schema."""

_TOKEN_ERRORS: tuple[type[errors.ServiceError], ...] = (
    errors.InvalidRequestError,
    errors.UnauthorizedError,
    errors.ForbiddenError,
    errors.RequestTimeoutError,
    errors.RequestTooLargeError,
    errors.UnsupportedMediaTypeError,
    errors.RequestHeaderFieldsTooLargeError,
    errors.RateLimitedError,
    errors.ServiceError,
    errors.UpstreamError,
    errors.UnavailableError,
    errors.UpstreamTimeoutError,
)
"""One class for each status that a mint may end with; each speaks for the classes below it."""

_ANSWER_HEADERS = {
    "X-Request-Id": "Names this request in the service's log; the request's own, where it sent a usable one.",
    "RateLimit-Policy": "The caller's tightest limit (draft-ietf-httpapi-ratelimit-headers-10).",
    "RateLimit": "What is left of it.",
}


def mints(*, beta: bool) -> dict[str, Any]:
    """Describe the routes that mint; the beta dialect has none of the vendor's own."""
    token = _mint(
        "Mint a client secret, with all that a client needs to open the socket.",
        schemas.TokenBody,
        schemas.TokenAnswer,
    )
    if beta:
        return {"/token": token}
    client_secrets = _mint(
        "Mint as the vendor's own SDKs ask for it.", schemas.ClientSecretBody, schemas.ClientSecretAnswer
    )
    translation_client_secrets = _mint(
        "Mint for a translation session, as the vendor's own SDKs ask for it.",
        schemas.TranslationSecretBody,
        schemas.ClientSecretAnswer,
    )
    return {
        "/token": token,
        "/v1" + wire.CLIENT_SECRETS_PATH: client_secrets,
        "/v1" + wire.TRANSLATION_CLIENT_SECRETS_PATH: translation_client_secrets,
    }


def _mint(summary: str, body: type[BaseModel], answer: type[BaseModel]) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "security": [{"jwt": []}],
            "requestBody": {"required": True, "content": _json(body)},
            "responses": {
                "200": {
                    "description": "A client secret.",
                    "headers": {name: _header(text) for name, text in _ANSWER_HEADERS.items()},
                    "content": _json(answer),
                },
                **_refusals(_TOKEN_ERRORS),
            },
        }
    }


def _refusals(kinds: Iterable[type[errors.ServiceError]]) -> dict[str, Any]:
    return {
        str(kind.status): {
            "description": f"{_first_line(kind)} Codes: {', '.join(sorted(_codes(kind)))}.",
            "headers": {"X-Request-Id": _header(_ANSWER_HEADERS["X-Request-Id"]), **_error_headers(kind)},
            "content": _json(schemas.ErrorAnswer),
        }
        for kind in kinds
    }


def _codes(kind: type[errors.ServiceError]) -> set[str]:
    narrower = {code for sub in kind.__subclasses__() if sub.status == kind.status for code in _codes(sub)}
    own = {kind.code} if kind.code and "code" in vars(kind) else set()
    return narrower | own


def _error_headers(kind: type[errors.ServiceError]) -> dict[str, Any]:
    if issubclass(kind, errors.UnauthorizedError):
        return {"WWW-Authenticate": _header("The challenge of RFC 6750.", required=True)}
    if issubclass(kind, errors.RateLimitedError):
        return {"Retry-After": _header("Seconds to wait.", required=True)}
    if issubclass(kind, errors.UnavailableError):
        return {"Retry-After": _header("Seconds to wait, where that is known.")}
    return {}


def probes() -> dict[str, Any]:
    """Describe what machines ask."""
    alive = {"200": {"description": "Alive.", "content": _json(schemas.HealthAnswer)}}
    ready = {
        status: {"description": text, "content": _json(schemas.ReadyAnswer)}
        for status, text in {"200": "Secrets can be minted.", "503": "Secrets cannot be minted."}.items()
    }
    numbers = {
        "200": {
            "description": "Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **_refusals([errors.UnauthorizedError]),
        "404": {"description": "METRICS_TOKEN is not set.", "content": _json(schemas.ErrorAnswer)},
    }
    itself = {
        "200": {"description": "This.", "content": {"application/json": {"schema": {"type": "object"}}}}
    }
    return {
        "/healthz": {"get": {"summary": "Does the process live?", "responses": alive}},
        "/readyz": {"get": {"summary": "Can secrets be minted?", "responses": ready}},
        "/metrics": {
            "get": {
                "summary": "The numbers, for Prometheus.",
                "security": [{"metricsToken": []}],
                "responses": numbers,
            }
        },
        "/openapi.json": {"get": {"summary": "This description.", "responses": itself}},
    }


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": SCHEMA_REF.format(model=model.__name__)}}}


def _header(description: str, *, required: bool = False) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": "string"}}


def _first_line(kind: type[object]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
