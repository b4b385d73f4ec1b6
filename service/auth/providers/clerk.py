"""Clerk.

https://clerk.com/docs/backend-requests/manual-jwt
https://clerk.com/docs/backend-requests/resources/session-tokens
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from service.auth.providers.base import HOST, Provider
from service.auth.token import ParsedToken, TokenRejectedError, sanitize_for_log
from service.core.claims import Claims


@dataclass(frozen=True)
class Clerk(Provider):
    """Its session tokens carry no audience by default, so what they are is told by other claims."""

    name: ClassVar = "clerk"
    form: ClassVar = "clerk:FRONTEND_API"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the host of the instance's Frontend API."""
        issuer = f"https://{cls.match(HOST, text)[0]}"
        return cls((issuer,), f"{issuer}/.well-known/jwks.json")

    def check_user_token(self, token: ParsedToken, *, audience_is_known: bool) -> None:
        """Accept session tokens: with ``sid``, not pending, and not an OAuth access token of a third-party app.

        Tokens of a JWT template have no ``sid``; they are accepted where they name an audience that is ours.
        ``sts`` is ``pending`` while a sign-in has a step left, and Clerk's own SDKs see nobody there.
        """
        claims = token.claims
        if "at+jwt" in token.header.get("typ", "").lower():
            raise TokenRejectedError(
                "wrong_type", "the token is an OAuth access token of a third-party app (typ: at+jwt)"
            )
        session = claims.get("sid")
        has_session = isinstance(session, str) and bool(session)
        if not has_session and not audience_is_known and not self.is_machine(claims):
            raise TokenRejectedError(
                "wrong_token_use",
                "sid is missing, so this is not a session token; for tokens of a JWT template set JWT_AUDIENCE",
            )
        status = claims.get("sts", "active")
        if status != "active":
            raise TokenRejectedError(
                "pending_session", "the session is not active (sts)", sts=sanitize_for_log(status)
            )

    def is_machine(self, claims: Claims) -> bool:
        """Tell machine-to-machine tokens, whose ``sub`` is a machine (``mch_…``)."""
        subject = claims.get("sub")
        return isinstance(subject, str) and subject.startswith("mch_")
