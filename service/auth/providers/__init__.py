"""The presets of ``AUTH_PROVIDER``: one module for each identity provider, with the checks of its tokens."""

from __future__ import annotations

from difflib import get_close_matches

from service.auth.providers.apple import Apple
from service.auth.providers.auth0 import Auth0
from service.auth.providers.base import Provider
from service.auth.providers.clerk import Clerk
from service.auth.providers.cognito import Cognito
from service.auth.providers.entra import Entra
from service.auth.providers.firebase import Firebase
from service.auth.providers.google import Google
from service.auth.providers.keycloak import Keycloak
from service.auth.providers.okta import Okta
from service.auth.providers.supabase import Supabase

__all__ = ["PROVIDERS", "Provider", "parse_provider"]

PROVIDERS: dict[str, type[Provider]] = {
    kind.name: kind
    for kind in (Auth0, Firebase, Cognito, Supabase, Clerk, Entra, Google, Apple, Keycloak, Okta)
}

_OTHER_NAMES = {"azure": "entra", "azuread": "entra", "aad": "entra", "microsoft": "entra", "aws": "cognito"}


def parse_provider(text: str) -> Provider:
    """Read a value of ``AUTH_PROVIDER``.

    Raises:
        ValueError: the provider is unknown, or its parts are not of the right form.
    """
    name, _, rest = text.strip().partition(":")
    kind = PROVIDERS.get(name)
    if kind is None:
        raise ValueError(_describe_unknown(name.lower()))
    return kind.parse(rest)


def _describe_unknown(name: str) -> str:
    meant = _OTHER_NAMES.get(name) or next(iter(get_close_matches(name, PROVIDERS, n=1)), None)
    suggestion = f" (did you mean {PROVIDERS[meant].form}?)" if meant else ""
    known = ", ".join(kind.form for kind in PROVIDERS.values())
    return (
        f"names no known provider{suggestion}; it must be one of {known}. Without a preset: leave AUTH_PROVIDER "
        "unset and set JWT_ISSUER and JWT_AUDIENCE; the key set is found by OpenID discovery, or at JWT_JWKS_URL"
    )
