"""What ``AUTH_PROVIDER`` stands for: an identity provider's issuer, key set and audience rule.

Pure knowledge, no I/O. Each preset names the page of the provider's documentation that it was read from.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.auth import traps
from service.core.claims import Claims


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider, as far as verifying its tokens needs.

    ``audience`` is what the provider itself puts into ``aud``; ``None`` with ``audience_required`` means
    that the admin must name it, without, that its tokens carry none. ``algorithms`` are those its key set
    is used with. ``sets_type`` says that its tokens always carry ``typ``. ``shares_secret`` says that
    ``JWT_SECRET`` beside this preset is the provider's own, so its rules hold for HS256 too.
    ``audience_of`` reads where its tokens name their audience, ``check`` refuses the tokens it signs that
    are no user's, ``is_anonymous`` tells users without an account.
    """

    name: str
    issuer: str
    jwks_url: str
    audience: str | None = None
    audience_required: bool = False
    algorithms: tuple[str, ...] = ("RS256",)
    sets_type: bool = False
    shares_secret: bool = False
    audience_of: Callable[[Claims], Any] = traps.audience_claim
    check: Callable[[Claims], None] = traps.none
    is_anonymous: Callable[[Claims], bool] = traps.nobody_is_anonymous


_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_NAME = r"[A-Za-z0-9_-]+"


def _auth0(domain: str) -> Provider:
    # https://auth0.com/docs/secure/tokens/access-tokens/validate-access-tokens
    # https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
    return Provider(
        "auth0",
        f"https://{domain}/",
        f"https://{domain}/.well-known/jwks.json",
        audience_required=True,
        algorithms=("RS256", "PS256"),
        sets_type=True,
    )


def _firebase(project: str) -> Provider:
    # https://firebase.google.com/docs/auth/admin/verify-id-tokens
    return Provider(
        "firebase",
        f"https://securetoken.google.com/{project}",
        "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
        audience=project,
        check=traps.firebase,
        is_anonymous=traps.firebase_anonymous,
    )


def _cognito(region: str, pool: str, client_id: str) -> Provider:
    # https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
    issuer = f"https://cognito-idp.{region}.amazonaws.com/{pool}"
    return Provider(
        "cognito",
        issuer,
        f"{issuer}/.well-known/jwks.json",
        audience=client_id,
        audience_of=traps.cognito_audience,
        check=traps.Cognito(client_id),
    )


def _supabase(ref: str) -> Provider:
    # https://supabase.com/docs/guides/auth/jwts, https://supabase.com/docs/guides/auth/jwt-fields
    issuer = f"https://{ref}.supabase.co/auth/v1"
    return Provider(
        "supabase",
        issuer,
        f"{issuer}/.well-known/jwks.json",
        audience="authenticated",
        algorithms=("ES256", "RS256", "EdDSA"),
        sets_type=True,
        shares_secret=True,
        check=traps.supabase,
        is_anonymous=traps.supabase_anonymous,
    )


def _clerk(frontend_api: str) -> Provider:
    # https://clerk.com/docs/backend-requests/manual-jwt, https://clerk.com/docs/backend-requests/resources/session-tokens
    issuer = f"https://{frontend_api}"
    return Provider("clerk", issuer, f"{issuer}/.well-known/jwks.json", check=traps.clerk)


_PRESETS: dict[str, tuple[str, str, Callable[..., Provider]]] = {
    "auth0": ("auth0:DOMAIN", rf"({_HOST})", _auth0),
    "firebase": ("firebase:PROJECT", rf"({_NAME})", _firebase),
    "cognito": ("cognito:REGION/POOL/CLIENT_ID", rf"({_NAME})/({_NAME})/({_NAME})", _cognito),
    "supabase": ("supabase:REF", rf"({_NAME})", _supabase),
    "clerk": ("clerk:FRONTEND_API", rf"({_HOST})", _clerk),
}


def parse_provider(text: str) -> Provider:
    """Read a value of ``AUTH_PROVIDER``.

    Raises:
        ValueError: where the provider is unknown or its parts are not of the right form.
    """
    name, _, rest = text.strip().partition(":")
    if name not in _PRESETS:
        known = ", ".join(form for form, _, _ in _PRESETS.values())
        raise ValueError(f"names no known provider; it must be one of {known}")
    form, pattern, build = _PRESETS[name]
    match = re.fullmatch(pattern, rest)
    if not match:
        raise ValueError(f"must have the form {form}")
    return build(*match.groups())
