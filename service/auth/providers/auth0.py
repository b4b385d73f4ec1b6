"""Auth0.

https://auth0.com/docs/secure/tokens/access-tokens/validate-access-tokens
https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
https://auth0.com/docs/get-started/authentication-and-authorization-flow/client-credentials-flow
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from service.auth.providers.base import HOST, Provider
from service.core.claims import Claims


@dataclass(frozen=True)
class Auth0(Provider):
    """Its issuer ends in a slash; the audience is the API's identifier, which the domain does not tell."""

    name: ClassVar = "auth0"
    form: ClassVar = "auth0:DOMAIN"
    algorithms: ClassVar = ("RS256", "RS512", "PS256")
    audience_required: ClassVar = True
    always_typed: ClassVar = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the tenant's domain, or a custom one."""
        domain = cls.match(HOST, text)[0]
        return cls((f"https://{domain}/",), f"https://{domain}/.well-known/jwks.json")

    def is_machine(self, claims: Claims) -> bool:
        """Tell tokens of the client credentials flow: ``gty`` says so, and ``sub`` is ``CLIENT_ID@clients``."""
        subject = claims.get("sub")
        by_subject = isinstance(subject, str) and subject.endswith("@clients")
        return by_subject or claims.get("gty") == "client-credentials"
