"""Okta.

https://developer.okta.com/docs/concepts/auth-servers/
https://developer.okta.com/docs/guides/validate-access-tokens/
https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from service.auth.providers.base import HOST, NAME, Provider
from service.core.claims import Claims


@dataclass(frozen=True)
class Okta(Provider):
    """With SERVER (often ``default``) a custom authorization server, whose access tokens are for your own API.

    Without, the org's own server: only its ID tokens can be verified by others than Okta, and their audience is
    the app's client id.
    """

    name: ClassVar = "okta"
    form: ClassVar = "okta:DOMAIN[/SERVER]"
    audience_required: ClassVar = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the org's domain, or a custom one, and the authorization server's id."""
        match = cls.match(rf"({HOST})(?:/({NAME}))?", text)
        base = f"https://{match[1]}"
        if match[2]:
            return cls((f"{base}/oauth2/{match[2]}",), f"{base}/oauth2/{match[2]}/v1/keys")
        return cls((base,), f"{base}/oauth2/v1/keys")

    def is_machine(self, claims: Claims) -> bool:
        """Tell client credentials tokens: ``cid`` names the client, and there is no user (``uid``)."""
        return "cid" in claims and ("uid" not in claims or claims.get("sub") == claims["cid"])
