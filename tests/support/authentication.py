"""Authenticators for tests, with a clock that stands still, and good claims to spoil."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from service.auth.authenticator import Authenticator, TrustedIssuer
from service.auth.claim_checks import TokenRules
from service.auth.factory import build
from service.auth.keys import KeySource, StaticKeys, load_secret
from service.auth.providers import Provider
from service.auth.settings import AuthSettings
from service.auth.single_use import SingleUse
from service.core.errors import InvalidTokenError
from service.core.model import Caller
from service.store import MemoryStore
from service.vendors.network import Network

NOW = 1_800_000_000
ISSUER = "https://issuer.test/"
AUDIENCE = "token-service"
SECRET = "a-shared-secret-of-at-least-32-bytes"
PSEUDONYM_KEY = b"a-key-for-pseudonyms-of-32-bytes"


def claims(**changes: Any) -> dict[str, Any]:
    """Give the claims of a good token; ``None`` takes one out."""
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": NOW, "exp": NOW + 3600}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


@dataclass
class Clock:
    """A clock that moves only when told."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class SignIn:
    """An authenticator, asked as a test asks."""

    authenticator: Authenticator

    def accepts(self, token: str) -> Caller:
        return self.authenticator.authenticate(f"Bearer {token}")

    def rejects(self, token: str) -> InvalidTokenError:
        """Expect a 401 for this token and return it, so that the log's view can be looked at."""
        with pytest.raises(InvalidTokenError) as refused:
            self.authenticator.authenticate(f"Bearer {token}")
        assert token not in repr(vars(refused.value))
        return refused.value

    def cause(self, token: str) -> str:
        """Say in the log's word why this token is refused."""
        return str(self.rejects(token).seen["cause"])


def rules(provider: Provider | None = None, **changes: Any) -> TokenRules:
    """Give the rules that the settings make of their defaults, or of a provider's preset."""
    defaults: Mapping[str, Any] = {
        "issuers": provider.issuers if provider else (ISSUER,),
        "audiences": provider.audiences if provider else (AUDIENCE,),
        "required_scope": None,
        "max_lifetime": 86_400,
        "leeway": 10,
        "authorized_parties": (),
        "allow_anonymous": False,
        "allow_machines": False,
        "user_claim": "sub",
        "provider": provider,
    }
    return TokenRules(**{**defaults, **changes})


def sign_in(
    *keys: KeySource,
    clock: Clock | None = None,
    single_use: SingleUse | None = None,
    provider: Provider | None = None,
    **changes: Any,
) -> SignIn:
    """Make an authenticator; its keys are the shared secret's unless others are given, tried in their order."""
    sources = keys or (StaticKeys((load_secret(SECRET),)),)
    return sign_in_trusting(
        *(TrustedIssuer(source, rules(provider, **changes)) for source in sources),
        clock=clock,
        single_use=single_use,
    )


def sign_in_from(**variables: str) -> SignIn:
    """Make the authenticator that these variables describe; its clock is the real one."""
    settings = AuthSettings.from_environ(variables)
    return SignIn(build(settings, network=Network(), pseudonym_key=PSEUDONYM_KEY, store=MemoryStore()))


def sign_in_trusting(
    *trusted: TrustedIssuer, clock: Clock | None = None, single_use: SingleUse | None = None, **options: Any
) -> SignIn:
    """Make an authenticator that trusts these issuers."""
    return SignIn(
        Authenticator(
            trusted,
            pseudonym_key=PSEUDONYM_KEY,
            clock=clock or Clock(),
            single_use=single_use,
            **options,
        )
    )
