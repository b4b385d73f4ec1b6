"""Describe an identity provider, as far as verifying its tokens needs. Pure knowledge, no I/O."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

from service.auth.token import ParsedToken
from service.core.claims import Claims

HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
NAME = r"[A-Za-z0-9_-]+"
CLIENT_IDS = r"[A-Za-z0-9._:-]+(?:\s*,\s*[A-Za-z0-9._:-]+)*"


@dataclass(frozen=True)
class Provider(ABC):
    """What a value of ``AUTH_PROVIDER`` stands for; each provider is a subclass in a module of its own.

    ``issuers`` are the names its tokens may bear, ``audiences`` what it puts into ``aud`` by itself. Of the class:
    ``name`` and ``form`` are how it is written in ``AUTH_PROVIDER``; ``algorithms`` those its key set is used
    with; ``audience_required`` says that the admin must name the audience; ``always_typed`` that its tokens always
    carry ``typ``; ``shares_secret`` that ``JWT_SECRET`` beside it is the provider's own, so its checks hold for
    HS256 too; ``one_namespace`` that its issuers are spellings of one, with the same users; ``user_claims`` are what
    tells its users' tokens from others.
    """

    name: ClassVar[str]
    form: ClassVar[str]
    algorithms: ClassVar[tuple[str, ...]] = ("RS256",)
    audience_required: ClassVar[bool] = False
    always_typed: ClassVar[bool] = False
    shares_secret: ClassVar[bool] = False
    one_namespace: ClassVar[bool] = False
    user_claims: ClassVar[Mapping[str, str]] = MappingProxyType({})

    issuers: tuple[str, ...]
    jwks_url: str
    audiences: tuple[str, ...] = ()

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self:
        """Read what follows the name and colon in ``AUTH_PROVIDER``.

        Raises:
            ValueError: it is not of the right form; the message says the form.
        """

    @classmethod
    def match(cls, pattern: str, text: str) -> re.Match[str]:
        """Match ``text`` whole, or raise a ``ValueError`` that says the right form."""
        match = re.fullmatch(pattern, text)
        if match:
            return match
        if "://" in text:
            advice = "; leave out https://"
        elif text.endswith("/"):
            advice = "; leave out the slash at the end"
        else:
            advice = ""
        raise ValueError(f"must have the form {cls.form}{advice}")

    def read_audience(self, claims: Claims) -> Any:
        """Read the audience, by default from where RFC 7519 §4.1.3 puts it."""
        return claims.get("aud")

    def check_user_token(self, token: ParsedToken, *, audience_is_known: bool) -> None:  # noqa: B027 - most need none
        """Refuse verified tokens that the provider signs for something else than an app's user.

        ``audience_is_known`` tells whether ``aud`` was compared with an expected audience.

        Raises:
            TokenRejectedError: it is such a token.
        """

    def is_machine(self, claims: Claims) -> bool:  # noqa: ARG002 - for providers that have such tokens
        """Tell a machine's token (OAuth client credentials, RFC 6749 §4.4) from a user's."""
        return False

    def is_anonymous(self, claims: Claims) -> bool:  # noqa: ARG002 - for providers that have such users
        """Tell users without an account, of which anybody can make as many as wanted."""
        return False


def split_list(text: str) -> tuple[str, ...]:
    """Split ``a, b`` at its commas."""
    return tuple(part.strip() for part in text.split(","))
