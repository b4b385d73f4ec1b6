"""Firebase Authentication (and Google Identity Platform).

https://firebase.google.com/docs/auth/admin/verify-id-tokens
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from service.auth.providers.base import NAME, Provider
from service.auth.token import ParsedToken, TokenRejectedError
from service.core.claims import Claims


@dataclass(frozen=True)
class Firebase(Provider):
    """Every project's tokens are signed with the same keys; issuer and audience tell them apart."""

    name: ClassVar = "firebase"
    form: ClassVar = "firebase:PROJECT"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the project's id."""
        project = cls.match(NAME, text)[0]
        return cls(
            (f"https://securetoken.google.com/{project}",),
            "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
            audiences=(project,),
        )

    def check_user_token(self, token: ParsedToken, *, audience_is_known: bool) -> None:  # noqa: ARG002 - it always is
        """Refuse a token that does not say how its user signed in, since anonymously is one way."""
        if not isinstance(_read_method(token.claims), str):
            raise TokenRejectedError("unknown_sign_in", "firebase.sign_in_provider is missing")

    def is_anonymous(self, claims: Claims) -> bool:
        """Tell users who signed in with ``signInAnonymously``."""
        return bool(_read_method(claims) == "anonymous")


def _read_method(claims: Claims) -> Any:
    details = claims.get("firebase")
    return details.get("sign_in_provider") if isinstance(details, dict) else None
