"""The description of a service as it is configured.

OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1), whose schemas are the JSON Schema that pydantic writes.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from service.http import schemas
from service.http.openapi import sessions
from service.http.openapi.paths import SCHEMA_REF, mints, probes

_BODIES = (schemas.TokenBody, schemas.ClientSecretBody, schemas.TranslationSecretBody)
_ANSWERS = (
    schemas.TokenAnswer,
    schemas.ClientSecretAnswer,
    schemas.ErrorAnswer,
    schemas.HealthAnswer,
    schemas.ReadyAnswer,
)


def describe(*, longest_life: int, profiles: bool = False, beta: bool = False) -> dict[str, Any]:
    """Write the description.

    ``longest_life`` is ``TOKEN_MAX_TTL`` in seconds; ``profiles`` says that the admin defined some. With
    ``beta`` there are neither drop-in routes nor lives to choose.
    """
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Realtime token service",
            "version": "1",
            "description": "Short-lived secrets for the Realtime API, for those who show a JWT.",
        },
        "paths": mints(beta=beta) | probes(),
        "components": {
            "schemas": _configured(longest_life=longest_life, profiles=profiles, beta=beta),
            "securitySchemes": {
                "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "metricsToken": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _configured(*, longest_life: int, profiles: bool, beta: bool) -> dict[str, Any]:
    """Leave out of the schemas what this service refuses."""
    definitions = _definitions()
    for body in _BODIES:
        members = definitions[body.__name__]["properties"]
        if not profiles:
            del members["profile"]
        if beta:
            del members["expires_after"]
    for life in ("ExpiresAfter", "OptionalExpiresAfter"):
        definitions[life]["properties"]["seconds"]["maximum"] = longest_life
    return definitions


def _definitions() -> dict[str, Any]:
    wanted = [(body, "validation") for body in _BODIES] + [(answer, "serialization") for answer in _ANSWERS]
    _, together = models_json_schema(wanted, ref_template=SCHEMA_REF)  # type: ignore[arg-type]  # literals in a list
    definitions: dict[str, Any] = together["$defs"]
    definitions["TokenBody"] = sessions.token_body(definitions["TokenBody"])
    definitions["ClientSecretBody"] = sessions.client_secret_body(definitions["ClientSecretBody"])
    definitions["TranslationSecretBody"] = sessions.translation_secret_body(
        definitions["TranslationSecretBody"]
    )
    return definitions
