"""Google Sign-In.

https://developers.google.com/identity/openid-connect/openid-connect
https://developers.google.com/identity/gsi/web/guides/verify-google-id-token
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from service.auth.providers.base import CLIENT_IDS, Provider, split_list
from service.core.claims import Claims


@dataclass(frozen=True)
class Google(Provider):
    """Identity tokens come from one issuer in two spellings; web, Android and iOS each have a client id."""

    name: ClassVar = "google"
    form: ClassVar = "google:CLIENT_ID[,CLIENT_ID…]"
    one_namespace: ClassVar = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the client ids, which are the audiences."""
        return cls(
            ("https://accounts.google.com", "accounts.google.com"),
            "https://www.googleapis.com/oauth2/v3/certs",
            audiences=split_list(cls.match(CLIENT_IDS, text)[0]),
        )

    def is_machine(self, claims: Claims) -> bool:
        """Tell tokens of service accounts: anybody's may ask for one with any audience, ours included.

        https://cloud.google.com/docs/authentication/token-types#id: ``azp`` is then the account itself.
        """
        email, party = claims.get("email"), claims.get("azp")
        by_email = isinstance(email, str) and email.endswith(".gserviceaccount.com")
        return by_email or (party is not None and party == claims.get("sub"))
