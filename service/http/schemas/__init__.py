"""What travels over HTTP: request bodies and answers. ``/openapi.json`` is made of these models."""

from service.http.schemas.answers import (
    ClientSecretAnswer,
    ErrorAnswer,
    HealthAnswer,
    ReadyAnswer,
    TokenAnswer,
)
from service.http.schemas.requests import (
    ClientSecretBody,
    RequestBody,
    TokenBody,
    TranslationSecretBody,
    parse_body,
)

__all__ = [
    "ClientSecretAnswer",
    "ClientSecretBody",
    "ErrorAnswer",
    "HealthAnswer",
    "ReadyAnswer",
    "RequestBody",
    "TokenAnswer",
    "TokenBody",
    "TranslationSecretBody",
    "parse_body",
]
