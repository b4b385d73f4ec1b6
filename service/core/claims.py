"""Reading verified claims: by name, as scopes, and with an eye to who may write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Claims = Mapping[str, Any]
"""The members of a JWT whose signature holds."""

_SCOPE_CLAIMS = ("scope", "scp", "permissions")

_USER_EDITABLE = frozenset({
    # Supabase, Auth0 and Clerk: metadata that the user's own session may write
    "user_metadata", "raw_user_meta_data", "unsafe_metadata", "unsafeMetadata",
    # OpenID Connect Core §5.1: what people say of themselves
    "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile",
    "picture", "website", "email", "gender", "birthdate", "zoneinfo", "locale", "phone_number", "address",
})  # fmt: skip

_USER_EDITABLE_PREFIX = "custom:"
"""Cognito's custom attributes: a user may write them unless the app client was told otherwise."""


def find_claim(claims: Claims, name: str) -> Any:
    """Return the claim of that name, else the one at that dotted path, else ``None``.

    The literal name goes first, since namespaced claims are URLs, full of dots; so may the members of a path be.
    """
    if name in claims:
        return claims[name]
    dot = name.rfind(".")
    while dot > 0:
        inner = claims.get(name[:dot])
        found = find_claim(inner, name[dot + 1 :]) if isinstance(inner, Mapping) else None
        if found is not None:
            return found
        dot = name.rfind(".", 0, dot)
    return None


def has_scope(claims: Claims, scope: str) -> bool:
    """Look for a scope in ``scope`` (RFC 8693 §4.2, a string), ``scp`` and ``permissions`` (lists)."""
    for name in _SCOPE_CLAIMS:
        granted = claims.get(name)
        scopes = granted.split(" ") if isinstance(granted, str) else granted
        if isinstance(scopes, list) and scope in scopes:
            return True
    return False


def is_user_editable(name: str) -> bool:
    """Tell whether users may well be able to write a claim themselves, by its place."""
    first = name.split(".", maxsplit=1)[0]
    return first in _USER_EDITABLE or first.startswith(_USER_EDITABLE_PREFIX)
