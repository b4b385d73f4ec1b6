"""``/openapi.json``: this API described, from the same models that validate its bodies.

OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1), whose schemas are the JSON Schema that pydantic writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import errors, schemas, wire
from service.openapi import sessions

_REF = "#/components/schemas/{model}"

_TOKEN_ERRORS: tuple[type[errors.ServiceError], ...] = (
    errors.InvalidRequestError,
    errors.UnauthorizedError,
    errors.ForbiddenError,
    errors.RequestTooLargeError,
    errors.UnsupportedMediaTypeError,
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


def describe(*, longest_life: int, profiles: bool = False, beta: bool = False) -> dict[str, Any]:
    """Write the description of a service as it is configured.

    ``longest_life`` is ``TOKEN_MAX_TTL`` in seconds; ``profiles`` says that the admin defined some. With
    ``beta`` there are neither drop-in routes nor lives to choose.
    """
    definitions = _definitions()
    for body in _BODIES:
        members = definitions[body.__name__]["properties"]
        if not profiles:
            del members["profile"]
        if beta:
            del members["expires_after"]
    for life in ("ExpiresAfter", "OptionalExpiresAfter"):
        definitions[life]["properties"]["seconds"]["maximum"] = longest_life
    paths: dict[str, Any] = {
        "/token": _mint(
            "Mint a client secret, with all that a client needs to open the socket.",
            schemas.TokenBody,
            schemas.TokenAnswer,
        )
    }
    if not beta:
        paths["/v1" + wire.CLIENT_SECRETS_PATH] = _mint(
            "Mint as the vendor's own SDKs ask for it.", schemas.ClientSecretBody, schemas.ClientSecretAnswer
        )
        paths["/v1" + wire.TRANSLATION_CLIENT_SECRETS_PATH] = _mint(
            "Mint for a translation session, as the vendor's own SDKs ask for it.",
            schemas.TranslationSecretBody,
            schemas.ClientSecretAnswer,
        )
    paths |= _probes()
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Realtime token service",
            "version": "1",
            "description": "Short-lived secrets for the Realtime API, for those who show a JWT.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "metricsToken": {"type": "http", "scheme": "bearer"},
            },
        },
    }


_BODIES = (schemas.TokenBody, schemas.ClientSecretBody, schemas.TranslationSecretBody)
_ANSWERS = (
    schemas.TokenAnswer,
    schemas.ClientSecretAnswer,
    schemas.ErrorAnswer,
    schemas.HealthAnswer,
    schemas.ReadyAnswer,
)


def _definitions() -> dict[str, Any]:
    wanted = [(body, "validation") for body in _BODIES] + [(answer, "serialization") for answer in _ANSWERS]
    _, together = models_json_schema(wanted, ref_template=_REF)  # type: ignore[arg-type]  # literals in a list
    definitions: dict[str, Any] = together["$defs"]
    definitions["TokenBody"] = sessions.token_body(definitions["TokenBody"])
    definitions["ClientSecretBody"] = sessions.client_secret_body(definitions["ClientSecretBody"])
    definitions["TranslationSecretBody"] = sessions.translation_secret_body(
        definitions["TranslationSecretBody"]
    )
    return definitions


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


def _probes() -> dict[str, Any]:
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
    return {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _header(description: str, *, required: bool = False) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": "string"}}


def _first_line(kind: type[object]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
