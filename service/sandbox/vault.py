"""Client secrets: each opens one session, and only until it expires."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from service.sandbox.ids import random_token
from service.sandbox.refusal import Refusal, invalid_api_key
from service.sandbox.talk.sessions import Config
from service.vendors import wire

SECRET_PREFIX = "ek_"  # noqa: S105 - the beginning of one
_SECRET_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Secret:
    """A client secret.

    A session may start until ``expires_at``, in seconds since the epoch; ``session`` is the complete configuration
    it was minted with.
    """

    value: str = field(repr=False)
    expires_at: int
    session: Config


class Vault:
    """Every secret that was minted, and whether it was used.

    ``now`` gives seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._secrets: dict[str, Secret] = {}
        self._by_expiry: list[tuple[int, str]] = []
        self._used: set[str] = set()

    def mint(self, session: Config, seconds: int) -> Secret:
        """Make a secret that may open a session for so many seconds."""
        self._forget_expired()
        value = SECRET_PREFIX + random_token(_SECRET_LENGTH)
        secret = Secret(value, int(self._now()) + seconds, session)
        self._secrets[value] = secret
        heapq.heappush(self._by_expiry, (secret.expires_at, value))
        return secret

    def find(self, value: str) -> Secret:
        """Look a secret up, without using it.

        Raises:
            Refusal: where it is unknown, expired or used.
        """
        secret = self._secrets.get(value)
        if secret is None or secret.expires_at <= self._now():
            raise invalid_api_key(f"{SECRET_PREFIX}***")
        if value in self._used:
            raise Refusal(
                "This ephemeral token was already used to open a session. Create a new one for each session.",
                code=wire.SECRET_ALREADY_USED,
                status=401,
            )
        return secret

    def use(self, secret: Secret) -> None:
        """Let a secret open its one session."""
        self._used.add(secret.value)

    def expire_all(self) -> None:
        """Let every secret have expired: an expired one and an unknown one are refused alike."""
        self._secrets.clear()
        self._used.clear()
        self._by_expiry.clear()

    def _forget_expired(self) -> None:
        while self._by_expiry and self._by_expiry[0][0] <= self._now():
            _, value = heapq.heappop(self._by_expiry)
            self._secrets.pop(value, None)
            self._used.discard(value)
