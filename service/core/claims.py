"""Read verified claims: by name, as scopes, and whether users can edit them."""

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
    """Return the claim of that name, else what is at the dotted path, else ``None``.

    The literal name goes first, since namespaced claims are URLs, full of dots; so do a path's longer parts:
    ``https://acme.example/app.plan`` finds ``{"https://acme.example/app": {"plan": …}}``.
    """
    if name in claims:
        return claims[name]
    for place in (place for place in range(len(name) - 1, 0, -1) if name[place] == "."):
        inner = claims.get(name[:place])
        if isinstance(inner, Mapping) and (found := find_claim(inner, name[place + 1 :])) is not None:
            return found
    return None


def claim_values(claims: Claims, name: str) -> tuple[Any, ...]:
    """Return the values of a claim: the members of a list (groups, roles), or the claim as the only one."""
    found = find_claim(claims, name)
    if isinstance(found, list):
        return tuple(found)
    return () if found is None else (found,)


def has_scope(claims: Claims, scope: str) -> bool:
    """Look for a scope in ``scope`` (RFC 8693 §4.2, a string), ``scp`` and ``permissions`` (lists)."""
    for name in _SCOPE_CLAIMS:
        granted = claims.get(name)
        scopes = granted.split(" ") if isinstance(granted, str) else granted
        if isinstance(scopes, list) and scope in scopes:
            return True
    return False


def is_user_editable(name: str) -> bool:
    """Tell by its path whether users may be able to write a claim themselves."""
    first = name.split(".", maxsplit=1)[0]
    return first in _USER_EDITABLE or first.startswith(_USER_EDITABLE_PREFIX)
