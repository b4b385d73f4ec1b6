"""Keycloak (and Red Hat build of Keycloak).

https://www.keycloak.org/securing-apps/oidc-layers
https://www.keycloak.org/docs/latest/server_admin/#_service_accounts
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from service.auth.keys import PUBLIC_KEY_ALGORITHMS
from service.auth.providers.base import HOST, Provider
from service.auth.token import ParsedToken, TokenRejectedError, sanitize_for_log
from service.core.claims import Claims
from service.core.environment_types import secure_base_url

_BASE = rf"(?:(?P<scheme>https?)://)?(?P<base>{HOST}(?::[0-9]+)?(?:/[A-Za-z0-9._~-]+)*)/(?P<realm>[A-Za-z0-9._~%-]+)"


@dataclass(frozen=True)
class Keycloak(Provider):
    """A realm is an issuer. Access tokens name an audience only where a mapper puts one (else ``account``)."""

    name: ClassVar = "keycloak"
    form: ClassVar = "keycloak:URL/REALM"
    algorithms: ClassVar = PUBLIC_KEY_ALGORITHMS
    audience_required: ClassVar = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the server's URL (with ``/auth`` where it has that) and the realm's name."""
        if "/realms/" in text:
            raise ValueError(f"must have the form {cls.form}; leave out /realms")
        match = cls.match(_BASE, text)
        # Which hosts may be reached by http is the environment's to say.
        base = secure_base_url(f"{match['scheme'] or 'https'}://{match['base']}", insecure_hosts=None)
        issuer = f"{base}/realms/{match['realm']}"
        return cls((issuer,), f"{issuer}/protocol/openid-connect/certs")

    def check_user_token(self, token: ParsedToken, *, audience_is_known: bool) -> None:  # noqa: ARG002 - it always is
        """Refuse refresh, logout and other tokens: the claim ``typ`` is ``Bearer`` (access) or ``ID``."""
        kind = token.claims.get("typ", "Bearer")
        if kind not in ("Bearer", "ID"):
            raise TokenRejectedError(
                "wrong_token_use", "the claim typ is neither Bearer nor ID", token_use=sanitize_for_log(kind)
            )

    def is_machine(self, claims: Claims) -> bool:
        """Tell tokens of service accounts, whose user is called ``service-account-CLIENT``."""
        name = claims.get("preferred_username")
        return isinstance(name, str) and name.startswith("service-account-")
