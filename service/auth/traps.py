"""What each identity provider signs that is no signed-in user of the app, and how to tell.

Each function refuses verified claims, or returns. Where a preset's provider documents nothing of the
kind, ``none`` stands in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.auth.refusal import Refusal, shown
from service.core.claims import Claims


def none(_claims: Claims) -> None:
    """Refuse nothing."""


def nobody_is_anonymous(_claims: Claims) -> bool:
    """Stand for a provider without anonymous sign-in."""
    return False


def audience_claim(claims: Claims) -> Any:
    """Read the audience from where RFC 7519 puts it."""
    return claims.get("aud")


def cognito_audience(claims: Claims) -> Any:
    """Read ``client_id`` in place of the ``aud`` that access tokens lack, unless bound to a resource."""
    if claims.get("token_use") == "access" and "aud" not in claims:
        return claims.get("client_id")
    return claims.get("aud")


@dataclass(frozen=True, slots=True)
class Cognito:
    """Cognito's ``token_use`` tells access from identity tokens; both are a user's.

    An access token bound to a resource names that resource in ``aud``, so its app is checked here.
    """

    client_id: str

    def __call__(self, claims: Claims) -> None:
        """Refuse other uses, and access tokens bound to a resource by another app."""
        use = claims.get("token_use")
        if use not in ("access", "id"):  # a tuple, since a set cannot look up a list
            raise Refusal("wrong_token_use", "token_use is neither access nor id", token_use=shown(use))
        if use == "access" and "aud" in claims and claims.get("client_id") != self.client_id:
            raise Refusal(
                "wrong_client", "client_id is not the preset's", client_id=shown(claims.get("client_id"))
            )


def firebase(claims: Claims) -> None:
    """Refuse a Firebase token that does not say how its user signed in, since anonymously is one way."""
    if not isinstance(_firebase_method(claims), str):
        raise Refusal("unknown_sign_in", "firebase.sign_in_provider is missing")


def firebase_anonymous(claims: Claims) -> bool:
    """Tell Firebase's anonymous users: anybody can become one without an account."""
    return bool(_firebase_method(claims) == "anonymous")


def _firebase_method(claims: Claims) -> Any:
    details = claims.get("firebase")
    return details.get("sign_in_provider") if isinstance(details, dict) else None


def supabase(claims: Claims) -> None:
    """Refuse Supabase's API keys, which are JWTs with the roles ``anon`` and ``service_role``."""
    role = claims.get("role")
    if role != "authenticated":
        raise Refusal("wrong_role", "role is not authenticated", role=shown(role))


def supabase_anonymous(claims: Claims) -> bool:
    """Tell Supabase's anonymous users (role ``authenticated`` too); only a plain ``false`` denies it."""
    return claims.get("is_anonymous", False) is not False


def clerk(claims: Claims) -> None:
    """Refuse Clerk sessions whose sign-in has a step left (``sts``); Clerk's own SDKs see nobody there."""
    status = claims.get("sts", "active")
    if status != "active":
        raise Refusal("pending_session", "the session is not active (sts)", sts=shown(status))
