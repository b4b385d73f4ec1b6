"""Supabase Auth.

https://supabase.com/docs/guides/auth/jwts
https://supabase.com/docs/guides/auth/jwt-fields
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Self

from service.auth.keys import EDDSA_ALGORITHMS
from service.auth.providers.base import NAME, Provider
from service.auth.token import ParsedToken, TokenRejectedError, sanitize_for_log
from service.core.claims import Claims


@dataclass(frozen=True)
class Supabase(Provider):
    """A project signs with keys of its choice, older ones with a shared secret (``JWT_SECRET``)."""

    name: ClassVar = "supabase"
    form: ClassVar = "supabase:REF"
    algorithms: ClassVar = ("ES256", "RS256", *EDDSA_ALGORITHMS)
    always_typed: ClassVar = True
    shares_secret: ClassVar = True
    user_claims: ClassVar = MappingProxyType({"role": "authenticated"})

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the project's reference, the first label of its URL."""
        reference = cls.match(NAME, text)[0]
        issuer = f"https://{reference}.supabase.co/auth/v1"
        return cls((issuer,), f"{issuer}/.well-known/jwks.json", audiences=("authenticated",))

    def check_user_token(self, token: ParsedToken, *, audience_is_known: bool) -> None:  # noqa: ARG002 - it always is
        """Refuse Supabase's API keys, which are JWTs with the roles ``anon`` and ``service_role``."""
        role = token.claims.get("role")
        if role != "authenticated":
            raise TokenRejectedError("wrong_role", "role is not authenticated", role=sanitize_for_log(role))

    def is_anonymous(self, claims: Claims) -> bool:
        """Tell anonymous users (role ``authenticated`` too); only a plain ``false`` denies it."""
        return claims.get("is_anonymous", False) is not False
