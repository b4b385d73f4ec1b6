"""Sign in at Azure with Entra ID, without a key: a token of ``azure-identity``, refreshed ahead of need.

The library knows the ways a host can sign in (managed identity, workload identity, a client secret, a developer's
``az login``) and reads its own variables: https://learn.microsoft.com/python/api/overview/azure/identity-readme.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Final, Protocol

from service.core.errors import RejectedCredentialsError
from service.vendors.credentials import bearer, redact
from service.vendors.network import Network

SCOPE: Final = "https://cognitiveservices.azure.com/.default"
"""What tokens are asked for, as in Microsoft's samples; ``https://ai.azure.com/.default`` is the other one in use."""

REQUIREMENTS: Final = "service/vendors/requirements-azure.txt"

_AUTHORITY: Final = "AZURE_AUTHORITY_HOST"
_REFRESH_SECONDS: Final = 300
"""How long before its end a token is replaced: from then on the library fetches another one."""
_RETRY_SECONDS: Final = 30
"""Pause between two attempts while the old token holds: the library makes no more of them."""
_CONNECT_SECONDS, _READ_SECONDS = 3, 5
_MAX_REASON: Final = 1500

log = logging.getLogger(__name__)


class AccessToken(Protocol):
    """A token, and when it ends and should be replaced, in seconds since the epoch."""

    @property
    def token(self) -> str:
        """The token itself."""

    @property
    def expires_on(self) -> int:
        """When it ends."""

    @property
    def refresh_on(self) -> int | None:
        """When it should be replaced, where Entra ID says so."""


class EntraId:
    """A credential whose token a thread keeps fresh, from the first request on. Opens no socket before it.

    A request waits only while there is no valid token, and at most ``wait_seconds``. ``fetch`` asks the library, which
    raises whatever it likes.
    """

    name = "Entra ID"
    advice = (
        "give this identity the role Cognitive Services OpenAI User on the resource, and see that AZURE_CLIENT_ID and "
        "the other variables of azure-identity are right"
    )

    def __init__(
        self, fetch: Callable[[], AccessToken], *, wait_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._fetch = fetch
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._token: AccessToken | None = None
        self._failure: str | None = None
        self._fetching = False
        self._thread: threading.Thread | None = None

    def headers(self) -> dict[str, str]:
        """Return the header that authenticates as the company itself.

        Raises:
            RejectedCredentialsError: there is no valid token; ``reason`` is what the library says of it.
        """
        token = self._valid() or self._wait_for_token()
        return bearer(token.token)

    def redact_key(self, text: bytes) -> bytes:
        """Replace the token."""
        return redact(self._token.token, text) if self._token else text

    def _valid(self) -> AccessToken | None:
        token = self._token
        return token if token and token.expires_on > self._clock() else None

    def _wait_for_token(self) -> AccessToken:
        with self._changed:
            if self._thread is None:
                self._fetching = True
                self._thread = threading.Thread(target=self._keep_fresh, name="entra-id", daemon=True)
                self._thread.start()
            elif self._failure is None and not self._fetching:  # the machine slept past the token's end
                self._fetching = True
                self._changed.notify_all()
            in_time = self._changed.wait_for(lambda: not self._fetching, self._wait_seconds)
            token, failure = self._valid(), self._failure
        if token:
            return token
        late = f"no token within {self._wait_seconds:g} s"
        raise RejectedCredentialsError(
            "The token service cannot authenticate to the vendor. Its administrator must fix this; see the log.",
            reason=f"Entra ID: {(failure if in_time else None) or late}",
        )

    def _keep_fresh(self) -> None:
        failures = 0
        while True:
            try:
                token, failure = self._fetch(), None
            except Exception as error:  # noqa: BLE001 - any failure of the library's is one to sign in
                token, failure = None, f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MAX_REASON]
                log.warning("Entra ID gave no token: %s", failure)
            failures = failures + 1 if failure else 0
            with self._changed:
                self._token, self._failure, self._fetching = token or self._token, failure, False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._fetching, self._pause(failures))
                self._fetching = True

    def _pause(self, failures: int) -> float:
        """Return how many seconds to wait before the next fetch; half of what is left where a token ends soon."""
        token, now = self._valid(), self._clock()
        if token is None:
            return float(min(2 ** min(failures - 1, 5), _RETRY_SECONDS)) if failures else 1.0
        left = token.expires_on - now
        soonest = min(_RETRY_SECONDS, left / 2)
        if failures:
            return soonest
        return max(soonest, (token.refresh_on or token.expires_on - _REFRESH_SECONDS) - now)


def is_installed() -> bool:
    """Return whether ``azure-identity`` is."""
    try:
        return find_spec("azure.identity") is not None
    except ModuleNotFoundError:
        return False


def default_sign_in(network: Network) -> Callable[[], AccessToken]:
    """Return what fetches a token as this host can: ``DefaultAzureCredential``.

    Its requests go by the service's own proxy and certificates, and end within seconds. An authority that the admin
    names is not looked up at Microsoft's first.
    """
    from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415 - an optional requirement
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    authority = os.environ.get(_AUTHORITY, "login.microsoftonline.com")
    proxy = network.proxy(f"https://{authority.removeprefix('https://')}")
    transport = RequestsTransport(
        use_env_settings=False,
        connection_verify=network.ca_bundle or True,
        connection_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
    )
    credential = DefaultAzureCredential(
        transport=transport,
        proxies={"https": proxy} if proxy else {},
        retry_total=1,
        disable_instance_discovery=_AUTHORITY in os.environ,
    )
    return lambda: credential.get_token_info(SCOPE)
