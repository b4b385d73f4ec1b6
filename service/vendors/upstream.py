"""Minting at the vendor: one exchange within one deadline, every failure told as one of ours."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import ReadTimeoutError

from service.core.deadline import DeadlineExceededError, deadline
from service.core.errors import (
    RejectedCredentialsError,
    RejectedSessionError,
    ServiceError,
    UpstreamError,
    UpstreamRateLimitedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from service.core.model import ClientSecret, Grant
from service.vendors import wire

_ATTEMPTS = 2
_PASSING = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


class Upstream:
    """The vendor's Realtime API.

    ``timeout`` bounds a whole mint in seconds, its one retry included; ``session`` is this worker's own,
    since a session with open connections must not be shared over a fork.
    """

    def __init__(self, *, session: requests.Session, api: wire.Api, timeout: float) -> None:
        self._adapter = session.get_adapter(api.base_url)
        self._network: dict[str, Any] = {
            "timeout": timeout,
            "verify": session.verify,
            "proxies": session.proxies,
        }
        self._api = api
        self._headers = wire.account_headers(api.account) | {"User-Agent": "realtime-token-service"}
        self._timeout = timeout

    def mint(self, grant: Grant, *, safety_identifier: str) -> ClientSecret:
        """Mint a secret for ``grant``; ``safety_identifier`` names the end user to the vendor's abuse checks.

        Raises:
            ServiceError: one of the upstream errors, or the vendor's own words about the session.
        """
        order = wire.mint_request(grant, safety_identifier=safety_identifier, beta=self._api.beta)
        try:
            with deadline(self._timeout):
                response = self._send(self._prepare(order))
        except DeadlineExceededError:
            raise _timed_out(f"no answer within {self._timeout:g} s") from None
        except requests.exceptions.Timeout as error:
            raise _timed_out(type(error).__name__) from None
        except requests.exceptions.ChunkedEncodingError:
            raise _unusable("the answer broke off, or is not HTTP") from None
        except requests.exceptions.ConnectionError as error:
            raise _unreachable(error) from None
        except requests.exceptions.RequestException as error:
            # By name only: some of these messages repeat the headers, and with them the key.
            raise _unusable(type(error).__name__) from None
        return self._read(response)

    def _prepare(self, order: wire.MintRequest) -> requests.PreparedRequest:
        """Put a request together from parts that are known to be right.

        Having ``requests`` prepare it would cost more than all else we do: its checks of URL and headers are for
        values from outside, and these come from settings and from ``wire``.
        """
        request = requests.PreparedRequest()
        request.method = "POST"
        request.url = self._api.base_url + order.path
        request.headers = CaseInsensitiveDict(self._headers)
        request.headers.update(order.headers)
        request.headers["Content-Length"] = str(len(order.body))
        request.body = order.body
        return request

    def _send(self, request: requests.PreparedRequest) -> requests.Response:
        """Send, and once more after a failure that passes.

        A first attempt that did mint leaves an unused secret, which expires; the caller gets exactly one.
        The adapter sends, and not the session, which would follow redirects (a 307 carries body and key to
        wherever it points) and keep cookies.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = self._adapter.send(request, **self._network)
                _ = response.content  # read it here, where a failure is still the exchange's
            except requests.exceptions.ConnectionError as error:
                if attempt == _ATTEMPTS or not _is_worth_a_retry(error):
                    raise
            else:
                if attempt == _ATTEMPTS or response.status_code not in _PASSING:
                    return response
        raise AssertionError("the last attempt returns or raises")

    def _read(self, response: requests.Response) -> ClientSecret:
        request_id = response.headers.get(wire.REQUEST_ID_HEADER)
        if response.status_code != HTTPStatus.OK:
            raise _refusal(response, request_id, self._api.account.api_key)
        try:
            return wire.read_secret(response.content, request_id=request_id, beta=self._api.beta)
        except wire.UnusableAnswerError as error:
            raise _unusable(f"{error} (request {request_id})") from None


def _is_worth_a_retry(error: requests.exceptions.ConnectionError) -> bool:
    """Refused or reset, that is: a certificate or a proxy that fails will fail again, and time is up once."""
    lasting = (
        requests.exceptions.Timeout,
        requests.exceptions.SSLError,
        requests.exceptions.ProxyError,
    )
    return not isinstance(error, lasting) and not _is_read_timeout(error)


def _is_read_timeout(error: requests.exceptions.ConnectionError) -> bool:
    """Tell a timeout in mid-answer, which ``requests`` reports as a lost connection."""
    return any(isinstance(argument, ReadTimeoutError) for argument in error.args)


def _refusal(response: requests.Response, request_id: str | None, api_key: str) -> ServiceError:
    """Turn the vendor's refusal into ours: only words about the caller's own session are passed on."""
    status = response.status_code
    error = wire.read_error(response.content)
    reason = f"the vendor answered {status}, code {error.get('code')!r} (request {request_id})"
    retry_after = wire.retry_after(response.headers)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return RejectedCredentialsError(
            "The token service cannot sign in upstream; its administrator has been told.", reason=reason
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return UpstreamRateLimitedError(
            "The Realtime API is limiting this service at the moment. Try again later.",
            reason=reason,
            retry_after=retry_after,
        )
    if status in _PASSING:
        return UpstreamUnavailableError(
            "The Realtime API is unavailable at the moment. Try again later.",
            reason=reason,
            retry_after=retry_after,
        )
    if status == HTTPStatus.BAD_REQUEST and isinstance(error.get("message"), str):
        words = {name: _without(api_key, error.get(name)) for name in ("message", "param", "code")}
        return RejectedSessionError(**words, reason=reason)
    return _unusable(reason)


def _without(api_key: str, words: Any) -> Any:
    """Leave our key out of what a caller reads, and whatever is no text: the words are the vendor's."""
    return words.replace(api_key, "***") if isinstance(words, str) else None


def _unusable(reason: str) -> UpstreamError:
    return UpstreamError("The Realtime API gave an answer that the token service cannot use.", reason=reason)


def _timed_out(reason: str) -> UpstreamTimeoutError:
    return UpstreamTimeoutError("The Realtime API did not answer in time. Try again.", reason=reason)


def _unreachable(error: requests.exceptions.ConnectionError) -> ServiceError:
    if _is_read_timeout(error):
        return _timed_out("read timeout")
    return UpstreamUnavailableError(
        "The Realtime API cannot be reached at the moment. Try again later.",
        reason=f"{type(error).__name__}: {type(_cause(error)).__name__}",
    )


def _cause(error: requests.exceptions.ConnectionError) -> object:
    """Find what went wrong below ``requests``; urllib3 wraps it once more."""
    outer = error.args[0] if error.args else error
    inner = getattr(outer, "reason", None)  # a TLS error has one too, in text
    return inner if isinstance(inner, Exception) else outer
