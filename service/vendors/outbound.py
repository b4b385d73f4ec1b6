"""Reach the outside by ``requests``, controlled by nothing but the settings: key sets, and the vendor by a proxy."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from ssl import SSLError
from time import monotonic
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from service.vendors.base import Check, Request, Response
from service.vendors.bounded_connections import PROGRESS, BoundedAdapter
from service.vendors.connections import (
    CONNECT_SECONDS,
    MAX_ANSWER_BYTES,
    MAX_SECONDS,
    MAX_USES,
    Progress,
    ProxyError,
)


def make_session(
    url: str, *, ca_bundle: str | None = None, proxy: str | None = None, connections: int = 10
) -> requests.Session:
    """Make a session for ``url``, which keeps so many connections to its host. It opens no socket yet.

    ``trust_env`` is off, since ``~/.netrc`` would overwrite an explicit bearer header; so the proxy
    and the certificates are set here. Cookies are refused: a mint must not depend on the one before it.
    """
    session = requests.Session()
    session.trust_env = False
    for prefix in ("https://", "http://"):
        session.mount(prefix, BoundedAdapter(pool_connections=1, pool_maxsize=connections))
    session.verify = ca_bundle or True
    if proxy:
        session.proxies = {urlsplit(url).scheme: proxy}
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


class ProxiedConnections:
    """Sends by the proxy of a session: ``requests`` knows how to tunnel, and how to sign in at the proxy."""

    def __init__(self, base_url: str, session: requests.Session) -> None:
        self._base_url = base_url
        self._session = session
        self._uses = 0
        self._ends = 0.0

    def exchange(
        self,
        request: Request,
        headers: dict[str, str],
        *,
        check: Check | None,
        seconds: float,
        progress: Progress,
    ) -> Response:
        """Send once and read the answer."""
        self._renew()
        token = PROGRESS.set(progress)
        try:
            response = self._send(request, headers, seconds, progress)
        except requests.RequestException as error:
            raise _as_of_a_socket(error) from None
        finally:
            PROGRESS.reset(token)
        try:
            if check:
                check(response)
        except BaseException:
            self.close()  # it is among the idle ones already
            raise
        return response

    def _send(
        self, request: Request, headers: dict[str, str], seconds: float, progress: Progress
    ) -> Response:
        with self._session.request(
            request.method,
            self._base_url + request.path,
            data=request.body,
            headers={**headers, "Accept-Encoding": "identity"},
            timeout=(min(CONNECT_SECONDS, seconds), seconds),
            allow_redirects=False,
            stream=True,
        ) as answer:
            names = {name.lower(): value for name, value in answer.headers.items()}
            progress.head = Response(answer.status_code, names, b"")
            return replace(progress.head, body=_read_bounded(answer))

    def _renew(self) -> None:
        """Close the pool once its connections may be as old, or used as often, as kept ones may be."""
        self._uses += 1
        if self._uses > MAX_USES or monotonic() > self._ends:
            self.close()
            self._uses, self._ends = 1, monotonic() + MAX_SECONDS

    def close(self) -> None:
        """Close the connections that are idle."""
        self._session.close()


def _read_bounded(answer: requests.Response) -> bytes:
    """Read the body. What is raised here closes the connection, which the next caller would read the rest of."""
    # urllib3 takes an interim response (RFC 9110 §15.2) for the answer.
    if answer.status_code < HTTPStatus.OK:
        raise HTTPException("An interim response came by the proxy.")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise HTTPException("The answer is compressed, and was asked for as it is.")
    body = bytearray()
    for part in answer.iter_content(65_536):
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise HTTPException("The response exceeds the maximum size.")
    return bytes(body)


def _as_of_a_socket(error: requests.RequestException) -> Exception:
    """Translate what ``requests`` raises to what ``KeptConnections.exchange`` would."""
    if isinstance(error, requests.exceptions.Timeout):
        return TimeoutError(*error.args)
    if any(isinstance(argument, ReadTimeoutError) for argument in error.args):
        return TimeoutError(*error.args)  # in mid-answer, which requests reports as a lost connection
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return HTTPException(*error.args)
    if isinstance(error, requests.exceptions.ProxyError):
        return ProxyError(*error.args)
    cause = _cause(error)
    return cause if isinstance(cause, SSLError | ConnectionError) else error


def _cause(error: requests.RequestException) -> object:
    """Return the error of the socket, which urllib3 wraps once or twice before ``requests`` does."""
    wrapped = error.args[0] if error.args else None
    wrapped = getattr(wrapped, "reason", wrapped)
    return wrapped.args[-1] if isinstance(wrapped, HTTPError) and wrapped.args else None
