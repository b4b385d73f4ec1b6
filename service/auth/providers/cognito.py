"""Amazon Cognito user pools.

https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from service.auth.providers.base import NAME, Provider
from service.auth.token import ParsedToken, TokenRejectedError, sanitize_for_log
from service.core.claims import Claims


@dataclass(frozen=True)
class Cognito(Provider):
    """Access and identity tokens are both a user's; the first name their app in ``client_id``."""

    name: ClassVar = "cognito"
    form: ClassVar = "cognito:REGION/POOL/CLIENT_ID[,CLIENT_ID…]"

    client_ids: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the pool's region and id, and the app clients' ids."""
        match = cls.match(rf"({NAME})/({NAME})/({NAME}(?:,{NAME})*)", text)
        issuer = f"https://cognito-idp.{match[1]}.amazonaws.com/{match[2]}"
        clients = tuple(match[3].split(","))
        return cls((issuer,), f"{issuer}/.well-known/jwks.json", audiences=clients, client_ids=clients)

    def read_audience(self, claims: Claims) -> Any:
        """Read ``client_id`` in place of the ``aud`` that access tokens lack, unless bound to a resource."""
        if claims.get("token_use") == "access" and "aud" not in claims:
            return claims.get("client_id")
        return claims.get("aud")

    def check_user_token(self, token: ParsedToken, *, audience_is_known: bool) -> None:  # noqa: ARG002 - it always is
        """Refuse other uses than access and id, and access tokens bound to a resource by another app.

        A bound token names the resource in ``aud``, so its app is checked here.
        """
        claims = token.claims
        use = claims.get("token_use")
        if use not in ("access", "id"):  # a tuple, since a set cannot look up a list
            raise TokenRejectedError(
                "wrong_token_use", "token_use is neither access nor id", token_use=sanitize_for_log(use)
            )
        if use == "access" and "aud" in claims and claims.get("client_id") not in self.client_ids:
            raise TokenRejectedError(
                "wrong_client",
                "client_id is not the preset's",
                client_id=sanitize_for_log(claims.get("client_id")),
            )

    def is_machine(self, claims: Claims) -> bool:
        """Tell client credentials tokens: access tokens whose ``sub`` is the app, and that have no ``username``."""
        if claims.get("token_use") != "access":
            return False
        return claims.get("sub") == claims.get("client_id") or "username" not in claims
