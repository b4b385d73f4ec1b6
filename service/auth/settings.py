"""Settings of sign-in: whose tokens are accepted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from service.auth.keys import load_public_keys, load_secret
from service.auth.providers import Provider, parse_provider
from service.core.claims import is_user_editable
from service.core.environment import is_given
from service.core.environment_types import (
    CommaSeparated,
    Flag,
    InsecureHosts,
    comma_separated,
    each,
    no_pattern,
    parsed_by,
    scope,
    secure_base_url,
    secure_url,
    secure_url_setting,
)

_SOURCES = {"jwt_secret": "JWT_SECRET", "jwt_public_key": "JWT_PUBLIC_KEY", "jwt_jwks_url": "JWT_JWKS_URL"}
"""The fields that hold keys; a preset fills in the last."""

_METADATA = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


def exact_issuer(text: str) -> str:
    """Check that it may be an issuer: tokens hold it as it is, and one that no token can hold refuses everybody."""
    if text.endswith(_METADATA):
        advice = "set it to the 'issuer' that is written there, the part before /.well-known"
        raise ValueError(f"is the address of an issuer's metadata; {advice}")
    if any(character.isspace() for character in text):
        raise ValueError("holds white space; separate several issuers by commas")
    return no_pattern(text)


def key_set_url(text: str) -> str:
    """Check that it is not the metadata that names the key set."""
    if urlsplit(text).path.endswith(_METADATA):
        raise ValueError(
            "is the address of an issuer's metadata, not of a key set; set it to the 'jwks_uri' that is written "
            "there, or leave it out: JWT_ISSUER alone finds the key set"
        )
    return text


class AuthSettings(InsecureHosts):
    """JWT verification. More than one source of keys must be meant; without any, the issuer's own is found."""

    auth_provider: Annotated[Provider, BeforeValidator(parsed_by(parse_provider))] | None = None
    jwt_secret_encoding: Literal["text", "base64"] = "text"  # noqa: S105 - the name of an encoding
    jwt_secret: Annotated[tuple[SecretStr, ...], BeforeValidator(comma_separated)] = ()
    jwt_public_key: str | None = None
    jwt_jwks_url: Annotated[str, AfterValidator(secure_url_setting), AfterValidator(key_set_url)] | None = (
        None
    )
    jwt_allow_multiple: Flag = False
    jwt_issuer: Annotated[CommaSeparated, AfterValidator(each(exact_issuer))] = ()
    jwt_audience: Annotated[CommaSeparated, AfterValidator(each(no_pattern))] = ()
    jwt_authorized_parties: Annotated[CommaSeparated, AfterValidator(each(no_pattern))] = ()
    jwt_user_claim: Annotated[str, AfterValidator(str.strip)] = "sub"
    allow_anonymous_users: Flag = False
    allow_machine_tokens: Flag = False
    jwt_single_use: Flag = False
    jwt_required_scope: Annotated[str, AfterValidator(scope)] | None = None
    jwt_max_lifetime: Annotated[int, Field(ge=1, le=10 * 365 * 86_400)] = 86_400
    jwt_leeway: Annotated[int, Field(ge=0, le=300)] = 10

    @property
    def preset_issuers(self) -> tuple[str, ...]:
        """The issuers that the preset's key set is trusted for; none without a preset."""
        return _preset_issuers(self.auth_provider, self.jwt_issuer)

    @property
    def other_issuers(self) -> tuple[str, ...]:
        """The issuers that ``JWT_ISSUER`` lists beside the preset's."""
        return tuple(issuer for issuer in self.jwt_issuer if issuer not in self.preset_issuers)

    @property
    def key_set_issuers(self) -> tuple[str, ...]:
        """The issuers that the key set at ``JWT_JWKS_URL`` (or the preset's) is trusted for."""
        return self.preset_issuers or self.other_issuers

    @property
    def public_key_issuers(self) -> tuple[str, ...]:
        """The issuers that ``JWT_PUBLIC_KEY`` is trusted for."""
        return self.other_issuers or self.preset_issuers

    @property
    def secret_issuers(self) -> tuple[str, ...]:
        """The issuers that ``JWT_SECRET`` is trusted for; some presets' secret is the provider's own."""
        is_providers = self.auth_provider and self.auth_provider.shares_secret
        return self.preset_issuers if is_providers else self.public_key_issuers

    @property
    def has_configured_keys(self) -> bool:
        """Whether some tokens can be verified without a key set that has to be fetched."""
        return bool(self.jwt_secret or self.jwt_public_key)

    @property
    def key_set_is_optional(self) -> bool:
        """Whether the preset's issuer may sign with ``JWT_SECRET`` alone, and publish a key set without keys."""
        return bool(self.jwt_secret and self.auth_provider and self.auth_provider.shares_secret)

    @property
    def discovered_issuers(self) -> tuple[str, ...]:
        """The issuers without a source of keys, whose key sets are found by discovery."""
        own_secret = self.jwt_secret and not self.key_set_is_optional
        own_key_set = self.jwt_jwks_url and not self.auth_provider
        return () if self.jwt_public_key or own_secret or own_key_set else self.other_issuers

    def user_namespace(self, issuer: str | None = None) -> str:
        """Return the issuer under which a user is counted and named, given ``iss`` of the user's tokens.

        Raises:
            ValueError: there are several issuers and none is given.
        """
        has_one_namespace = self.auth_provider is not None and self.auth_provider.one_namespace
        is_presets = issuer in self.preset_issuers if issuer else not self.other_issuers
        if has_one_namespace and is_presets:
            return self.preset_issuers[0]
        if issuer is None and len(self.jwt_issuer) > 1:
            raise ValueError(
                f"JWT_ISSUER lists several issuers, each with its own users; name one: {', '.join(self.jwt_issuer)}"
            )
        return issuer or self.jwt_issuer[0]

    def auth_warnings(self) -> tuple[str, ...]:
        """List what the admin should look at, though tokens can be verified."""
        warnings = []
        if is_user_editable(self.jwt_user_claim):
            claim = f"JWT_USER_CLAIM: users may be able to write {self.jwt_user_claim} themselves"
            warnings.append(f"{claim}, and so to take another user's name and limits")
        if self.auth_provider and not self.jwt_audience and not self.jwt_authorized_parties:
            tokens = f"AUTH_PROVIDER: tokens that {self.auth_provider.name} issued for any app are accepted"
            warnings.append(f"{tokens}; set JWT_AUTHORIZED_PARTIES or JWT_AUDIENCE to name yours")
        if any(" " in audience or ";" in audience for audience in self.jwt_audience):
            seen = "JWT_AUDIENCE: one audience holds a space or a semicolon"
            warnings.append(f"{seen}; separate several of them by commas")
        return tuple(warnings)

    @field_validator("auth_provider")
    @classmethod
    def _provider_is_reached_safely(cls, value: Provider | None, info: ValidationInfo) -> Provider | None:
        if value is not None:
            secure_url(value.jwks_url, info.data.get("allow_insecure_hosts"))
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _secrets_are_long_enough(
        cls, value: tuple[SecretStr, ...], info: ValidationInfo
    ) -> tuple[SecretStr, ...]:
        if "jwt_secret_encoding" in info.data:
            for secret in value:
                load_secret(secret.get_secret_value(), info.data["jwt_secret_encoding"])
        return value

    @field_validator("jwt_public_key")
    @classmethod
    def _public_keys_are_strong_enough(cls, value: str | None) -> str | None:
        if value is not None:
            load_public_keys(value)
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _preset_knows_the_key_set(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider: Provider | None = info.data.get("auth_provider")
        return value or (provider.jwks_url if provider else None)

    @field_validator("jwt_allow_multiple")
    @classmethod
    def _one_source_of_keys(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's call
        if "auth_provider" not in info.data:
            return value
        provider: Provider | None = info.data["auth_provider"]
        given = [name for field, name in _SOURCES.items() if is_given(field, info)]
        own_secret = provider and provider.shares_secret and set(given) == {"JWT_SECRET", "JWT_JWKS_URL"}
        if len(given) > 1 and not value and not own_secret:
            raise ValueError(
                f"{' and '.join(given)} are both sources of keys, and tokens of either would be let in; "
                "unset one, or set JWT_ALLOW_MULTIPLE=1 if that is meant"
            )
        return value

    @field_validator("jwt_issuer")
    @classmethod
    def _issuers_are_known(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "auth_provider" not in info.data:
            return value
        provider: Provider | None = info.data["auth_provider"]
        if not value and provider is None:
            raise ValueError(
                "is required; set it to the exact 'iss' of your tokens, or set AUTH_PROVIDER, which implies it. With "
                "no other source of keys (JWT_JWKS_URL, JWT_PUBLIC_KEY, JWT_SECRET) OpenID discovery finds the key set"
            )
        issuers = tuple(dict.fromkeys(value or (provider.issuers if provider else ())))
        own_secret = is_given("jwt_secret", info) and not (provider and provider.shares_secret)
        has_keys = own_secret or is_given("jwt_public_key", info)
        if not has_keys and (provider or not is_given("jwt_jwks_url", info)):
            preset = _preset_issuers(provider, issuers)
            others = [issuer for issuer in issuers if issuer not in preset]
            _check_discoverable(others, info.data.get("allow_insecure_hosts"))
        return issuers

    @field_validator("jwt_audience")
    @classmethod
    def _audience_is_known(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value or "auth_provider" not in info.data:
            return value
        provider: Provider | None = info.data["auth_provider"]
        issuers = info.data.get("jwt_issuer", ())
        covers_all = set(issuers) <= set(_preset_issuers(provider, issuers))
        if provider and not provider.audience_required and covers_all:
            return provider.audiences
        raise ValueError("is required; set it to the exact 'aud' of your tokens for this service")

    @field_validator("jwt_user_claim")
    @classmethod
    def _user_claim_is_a_name(cls, value: str) -> str:
        if not value or value.startswith("$") or "," in value:
            raise ValueError("must be the name of one claim, such as sub, uid or user.id")
        return value


def _preset_issuers(provider: Provider | None, issuers: tuple[str, ...]) -> tuple[str, ...]:
    if provider is None:
        return ()
    return tuple(issuer for issuer in issuers if issuer in provider.issuers) or issuers


def _check_discoverable(issuers: Sequence[str], insecure_hosts: Collection[str] | None) -> None:
    """Require a URL of each issuer whose key set has to be found by discovery."""
    for issuer in issuers:
        try:
            secure_base_url(issuer, insecure_hosts)
        except ValueError as error:
            raise ValueError(
                f"no source of keys is set, and none can be found by OpenID discovery, since an issuer {error}; "
                "set one of AUTH_PROVIDER, JWT_JWKS_URL, JWT_PUBLIC_KEY or JWT_SECRET"
            ) from None
