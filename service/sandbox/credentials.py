"""Credentials: standard keys (any ``sk-…`` but ``sk-invalid…``) and client secrets, which open one session each."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from service.sandbox.errors import ApiError, invalid_api_key
from service.sandbox.ids import random_token
from service.sandbox.newest import MAX_BYTES, Newest
from service.sandbox.sessions.configuration import Config
from service.vendors import wire

SECRET_PREFIX = "ek_"  # noqa: S105 - the beginning of one
_SECRET_LENGTH = 32
_VISIBLE_CHARACTERS = 6

MAX_SECRETS = 20_000
"""How many secrets are kept, as far as the JSON of their sessions is within ``MAX_BYTES``."""


def bearer(authorization: str | None) -> str:
    """Return the credential of an Authorization header, or an empty string."""
    scheme, _, credential = (authorization or "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


def check_key(key: str) -> None:
    """Check that a credential is a standard key.

    Raises:
        ApiError: 401, if it is missing, has another form, or begins with ``sk-invalid``.
    """
    if not key:
        message = (
            "You didn't provide an API key. You need to provide your API key in an Authorization header "
            "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        )
        raise ApiError(message, code="invalid_api_key", status=401)
    if not key.startswith("sk-") or key.startswith("sk-invalid"):
        raise invalid_api_key(f"{key[:_VISIBLE_CHARACTERS]}***")


@dataclass(frozen=True, slots=True)
class Secret:
    """A client secret.

    ``expires_at`` (seconds since the epoch) bounds the start of its session; ``session`` is the complete
    configuration it was minted with.
    """

    value: str = field(repr=False)
    expires_at: int
    session: Config


class SecretStore:
    """The client secrets that have not expired, and which of them were used; beyond the bounds the newest ones.

    ``now`` returns seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._secrets: Newest[str, Secret] = Newest(MAX_SECRETS, MAX_BYTES)
        self._by_expiry: list[tuple[int, str]] = []
        self._used: set[str] = set()
        self._lock = Lock()

    def __len__(self) -> int:
        """Return how many secrets are kept in memory."""
        return len(self._secrets)

    def mint(self, session: Config, seconds: int) -> Secret:
        """Create a secret that may start a session within ``seconds``, and drop those that have expired."""
        value, size = SECRET_PREFIX + random_token(_SECRET_LENGTH), len(json.dumps(session))
        secret = Secret(value, int(self._now()) + seconds, session)
        with self._lock:
            while self._by_expiry and self._by_expiry[0][0] <= self._now():
                self._forget(heapq.heappop(self._by_expiry)[1])
            self._used.difference_update(self._secrets.put(value, secret, size))
            heapq.heappush(self._by_expiry, (secret.expires_at, value))
            if len(self._by_expiry) > 2 * MAX_SECRETS:
                self._by_expiry = [(each.expires_at, each.value) for each in self._secrets.values()]
                heapq.heapify(self._by_expiry)
        return secret

    def _forget(self, value: str) -> None:
        self._secrets.forget(value)
        self._used.discard(value)

    def find(self, value: str) -> Secret:
        """Return a secret without using it.

        Raises:
            ApiError: 401, if it is unknown, expired or already used.
        """
        secret = self._secrets.get(value)
        if secret is None or secret.expires_at <= self._now():
            raise invalid_api_key(f"{SECRET_PREFIX}***")
        if value in self._used:
            raise _already_used()
        return secret

    @contextmanager
    def claim(self, secret: Secret) -> Iterator[None]:
        """Use up a secret for the one session that the block opens; one that is not opened leaves it as it was.

        Raises:
            ApiError: 401, if another session has been opened with it meanwhile, or is being opened.
        """
        with self._lock:
            if secret.value in self._used:
                raise _already_used()
            self._used.add(secret.value)
        try:
            yield
        except BaseException:
            self._used.discard(secret.value)
            raise

    def expire_all(self) -> None:
        """Forget all secrets: an expired one and an unknown one get the same answer."""
        with self._lock:
            self._secrets.clear()
            self._used.clear()
            self._by_expiry.clear()


def _already_used() -> ApiError:
    message = "This ephemeral token was already used to open a session. Create a new one for each session."
    return ApiError(message, code=wire.SECRET_ALREADY_USED, status=401)
