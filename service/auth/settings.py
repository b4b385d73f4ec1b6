"""Whose tokens are accepted."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from service.auth.keys import public_key, secret_key
from service.auth.providers import Provider, parse_provider
from service.core.environment import EnvironmentModel
from service.core.environment_types import CommaSeparated, Flag, comma_separated, parsed_by, scope, secure_url

_SOURCES = {"jwt_secret": "JWT_SECRET", "jwt_public_key": "JWT_PUBLIC_KEY", "jwt_jwks_url": "JWT_JWKS_URL"}
"""The fields that hold keys; a preset fills in the last."""


class AuthSettings(EnvironmentModel):
    """JWT verification. At least one source of keys is required, and more than one must be meant."""

    auth_provider: Annotated[Provider, BeforeValidator(parsed_by(parse_provider))] | None = None
    jwt_secret: Annotated[tuple[SecretStr, ...], BeforeValidator(comma_separated)] = ()
    jwt_public_key: str | None = None
    jwt_jwks_url: Annotated[str, AfterValidator(secure_url)] | None = None
    jwt_allow_multiple: Flag = False
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_authorized_parties: CommaSeparated = ()
    allow_anonymous_users: Flag = False
    jwt_single_use: Flag = False
    jwt_required_scope: Annotated[str, AfterValidator(scope)] | None = None
    jwt_max_lifetime: Annotated[int, Field(ge=1)] = 86_400
    jwt_leeway: Annotated[int, Field(ge=0, le=300)] = 10

    @field_validator("jwt_secret")
    @classmethod
    def _secrets_are_long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            secret_key(secret.get_secret_value())
        return value

    @field_validator("jwt_public_key")
    @classmethod
    def _public_key_is_strong_enough(cls, value: str | None) -> str | None:
        if value is not None:
            public_key(value)
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _some_source_of_keys(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider = info.data.get("auth_provider")
        value = value or (provider.jwks_url if provider else None)
        others = ("auth_provider", "jwt_secret", "jwt_public_key")
        if value is None and all(field in info.data and not info.data[field] for field in others):
            raise ValueError(
                "no source of keys is set; set one of AUTH_PROVIDER, JWT_JWKS_URL, JWT_PUBLIC_KEY or JWT_SECRET"
            )
        return value

    @field_validator("jwt_allow_multiple")
    @classmethod
    def _one_source_of_keys(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's call
        if not {"auth_provider", *_SOURCES} <= info.data.keys():
            return value
        provider = info.data["auth_provider"]
        given = [name for field, name in _SOURCES.items() if info.data[field]]
        supabase_legacy = (
            provider and provider.name == "supabase" and set(given) == {"JWT_SECRET", "JWT_JWKS_URL"}
        )
        if len(given) > 1 and not value and not supabase_legacy:
            raise ValueError(
                f"{' and '.join(given)} are both sources of keys, and tokens of either would be let in; "
                "unset one, or set JWT_ALLOW_MULTIPLE=1 if that is meant"
            )
        return value

    @field_validator("jwt_issuer")
    @classmethod
    def _issuer_is_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider = info.data.get("auth_provider")
        if value or provider or "auth_provider" not in info.data:
            return value or (provider.issuer if provider else None)
        raise ValueError("is required: the exact 'iss' of your tokens (an AUTH_PROVIDER would know it)")

    @field_validator("jwt_audience")
    @classmethod
    def _audience_is_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider: Provider | None = info.data.get("auth_provider")
        if value or "auth_provider" not in info.data:
            return value
        if provider and not provider.audience_required:
            return provider.audience
        raise ValueError("is required: the exact 'aud' that your tokens carry for this service")
