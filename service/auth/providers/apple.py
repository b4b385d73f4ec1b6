"""Sign in with Apple.

https://developer.apple.com/documentation/signinwithapple/verifying-a-user
https://developer.apple.com/documentation/signinwithapplerestapi/fetch_apple_s_public_key_for_verifying_token_signature
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from service.auth.providers.base import CLIENT_IDS, Provider, split_list


@dataclass(frozen=True)
class Apple(Provider):
    """Identity tokens; the audience is the app's bundle id, on the web the services id."""

    name: ClassVar = "apple"
    form: ClassVar = "apple:ID[,ID…]"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the bundle and services ids, which are the audiences."""
        return cls(
            ("https://appleid.apple.com",),
            "https://appleid.apple.com/auth/keys",
            audiences=split_list(cls.match(CLIENT_IDS, text)[0]),
        )
