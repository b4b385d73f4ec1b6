"""Microsoft Entra ID (Azure AD), one tenant.

https://learn.microsoft.com/en-us/entra/identity-platform/access-tokens
https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference
https://learn.microsoft.com/en-us/entra/identity-platform/claims-validation
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from service.auth.providers.base import Provider
from service.core.claims import Claims

_TENANT_ID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_MANY_TENANTS = ("common", "organizations", "consumers")


@dataclass(frozen=True)
class Entra(Provider):
    """An app's registration decides whether its tokens are of version 1 or 2, each with its own issuer.

    The audience is the API's client id, in version 1 often its URI (``api://…``). ``sub`` is the same in both
    versions, but users count by issuer: the tokens of one app are of one version.
    """

    name: ClassVar = "entra"
    form: ClassVar = "entra:TENANT"
    audience_required: ClassVar = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the tenant's id, a GUID: only with it is the issuer known."""
        if text.lower() in _MANY_TENANTS:
            raise ValueError(
                f"names {text.lower()!r}, with which users of every tenant in the world would be accepted; "
                "it must have the form entra:TENANT with the id of your own tenant"
            )
        if "." in text and "://" not in text:
            raise ValueError(
                "must have the form entra:TENANT with the tenant's id (a GUID), not its domain: tokens carry the id"
            )
        tenant = cls.match(_TENANT_ID, text)[0].lower()
        return cls(
            (f"https://login.microsoftonline.com/{tenant}/v2.0", f"https://sts.windows.net/{tenant}/"),
            f"https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys",
        )

    def is_machine(self, claims: Claims) -> bool:
        """Tell app-only access tokens: ``idtyp`` says so where it is configured; ``sub`` is ``oid``, no ``scp``."""
        if "idtyp" in claims:
            return bool(claims["idtyp"] == "app")
        subject = claims.get("sub")
        return subject is not None and subject == claims.get("oid") and "scp" not in claims
