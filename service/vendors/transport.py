"""Send requests to the vendor: within one deadline, with one retry, every failure raised as one of our errors."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPException
from ssl import SSLError
from time import monotonic
from typing import Final, Protocol

from service.core.deadline import DeadlineExceededError, total_deadline
from service.core.errors import LeakedKeyError, ServiceError, UpstreamTimeoutError, UpstreamUnavailableError
from service.vendors.base import Check, Request, Response
from service.vendors.connections import DISCONNECTED, KeptConnections, Progress, ProxyError
from service.vendors.credentials import Credential, bearer, redact
from service.vendors.network import Network
from service.vendors.responses import RETRYABLE_STATUSES, bad_response

_ATTEMPTS: Final = 2


class Connections(Protocol):
    """Sends one request once: over kept connections, or by a proxy."""

    def exchange(
        self,
        request: Request,
        headers: dict[str, str],
        *,
        check: Check | None,
        seconds: float,
        progress: Progress,
    ) -> Response:
        """Return the whole answer, noting its progress; what it raises is told by ``KeptConnections.exchange``."""

    def close(self) -> None:
        """Close the connections that are idle."""


class Transport:
    """Sends the requests that a vendor writes, below ``base_url``.

    ``timeout`` bounds a whole request in seconds, its one retry included, unless it has a bound of its own. No redirect
    is followed, no cookie is kept, and nothing of the environment is read. No socket is opened before the first
    request, so a transport may be made before a fork. ``connections`` is how many a proxy's pool keeps.
    """

    def __init__(
        self,
        base_url: str,
        *,
        credential: Credential,
        network: Network,
        timeout: float,
        connections: int = 10,
    ) -> None:
        self.base_url = base_url
        self._credential = credential
        self.timeout = timeout
        self._connections: Connections = _connect(base_url, network, connections)

    def send(
        self,
        request: Request,
        *,
        check: Check | None = None,
        seconds: float | None = None,
        progress: Progress | None = None,
    ) -> Response:
        """Return the vendor's answer, whatever its status, within ``seconds``, by default ``timeout``.

        ``check`` looks at it before its connection is used again. ``progress`` tells who gave it how far the exchange
        came, should it fail.

        Raises:
            UpstreamTimeoutError: there was none in time.
            UpstreamUnavailableError: the vendor cannot be reached.
            UpstreamError: what came is no HTTP answer.
        """
        timeout = self.timeout if seconds is None else seconds
        end, progress = monotonic() + timeout, progress or Progress()
        try:
            with total_deadline(timeout):
                response = self._send_until(end, request, check, progress)
        except DeadlineExceededError:
            raise _timed_out(f"no answer within {timeout:g} s", progress) from None
        except TimeoutError as error:
            raise _timed_out(type(error).__name__, progress) from None
        except ConnectionError as error:  # before HTTPException: RemoteDisconnected is both
            raise _unreachable(error, progress) from None
        except HTTPException:
            raise bad_response("the response was incomplete, or is not HTTP") from None
        except OSError as error:
            raise _unreachable(error, progress) from None
        except ValueError as error:
            # By name only: the text holds the header, and with it perhaps the key.
            raise bad_response(type(error).__name__) from None
        redacted = self._credential.redact_key(response.body)
        if redacted != response.body and response.status < HTTPStatus.MULTIPLE_CHOICES:
            raise LeakedKeyError(
                "The Realtime API returned an unusable response. "
                "The token service's administrator must fix this; see the log.",
                reason="the vendor's answer holds our own key, so that it may be known to others: replace it",
            )
        if request.secret and response.status >= HTTPStatus.MULTIPLE_CHOICES:  # the words of a refusal
            redacted = redact(request.secret, redacted)
        return response if redacted == response.body else replace(response, body=redacted)

    def close(self) -> None:
        """Close the connections that are idle."""
        self._connections.close()

    def _send_until(self, end: float, request: Request, check: Check | None, progress: Progress) -> Response:
        """Send, and once more after a failure that may pass, where that does no harm."""
        attempts = _ATTEMPTS if request.retryable else 1
        for left in reversed(range(attempts)):
            account = bearer(request.secret) if request.secret else self._credential.headers()
            headers = {"User-Agent": "realtime-token-service", **account, **request.headers}
            try:
                response = self._connections.exchange(
                    request, headers, check=check, seconds=max(0.001, end - monotonic()), progress=progress
                )
            except OSError as error:
                if not left or is_permanent(error):
                    raise
            else:
                if not left or response.status not in RETRYABLE_STATUSES:
                    return response
        raise AssertionError("the last attempt returns or raises")


def _connect(base_url: str, network: Network, connections: int) -> Connections:
    if not network.proxy(base_url):
        return KeptConnections(base_url, ca_bundle=network.ca_bundle)
    from service.vendors.outbound import ProxiedConnections  # noqa: PLC0415 - see service.vendors.network

    return ProxiedConnections(base_url, network.session(base_url, connections=connections))


def is_permanent(error: OSError) -> bool:
    """Tell a failure that will be the same again: a certificate, a proxy, and time that is up."""
    return isinstance(error, TimeoutError | SSLError | ProxyError) and not isinstance(error, DISCONNECTED)


def _timed_out(reason: str, progress: Progress) -> UpstreamTimeoutError:
    error = UpstreamTimeoutError("The Realtime API did not answer in time. Try again.", reason=reason)
    error.sent = progress.sent
    return error


def _unreachable(error: OSError, progress: Progress) -> ServiceError:
    cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    inner = getattr(cause, "reason", None)  # urllib3 wraps once more; a TLS error has a reason too, in text
    cause = inner if isinstance(inner, Exception) else cause
    kinds = [type(error).__name__, type(cause).__name__] if cause is not error else [type(error).__name__]
    unavailable = UpstreamUnavailableError(
        "The Realtime API cannot be reached at the moment. Try again later.", reason=": ".join(kinds)
    )
    unavailable.sent = progress.sent
    return unavailable
