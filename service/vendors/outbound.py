"""Reach the outside by ``requests``, controlled by nothing but the settings: key sets, and the vendor by a proxy."""

from __future__ import annotations

import io
from contextvars import ContextVar
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from socket import socket
from ssl import SSLError
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from service.vendors.base import Check, Request, Response
from service.vendors.connections import (
    CONNECT_SECONDS,
    KEEPALIVE,
    MAX_ANSWER_BYTES,
    MAX_HEAD_BYTES,
    MAX_SECONDS,
    MAX_USES,
    Progress,
)
from service.vendors.network import ProxyError

_PROGRESS: ContextVar[Progress | None] = ContextVar("_PROGRESS", default=None)
"""Progress of the exchange that is under way: neither ``requests`` nor urllib3 hands it on to a connection."""


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


class _Head(io.BufferedReader):
    """Reads an answer line by line, as http.client does, and fails where its head is too long."""

    left: float = MAX_HEAD_BYTES

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(-1 if size is None else size)
        self.left -= len(line)
        if self.left < 0:
            raise HTTPException("The head of the response exceeds the maximum size.")
        return line


class _Response(HTTPResponse):
    """An answer with a bounded head: http.client skips any number of interim responses, and of a proxy's fields.

    No timer of gevent's can fire while they flood in.
    """

    def __init__(self, sock: socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._head = self.fp = _Head(self.fp.detach())

    def begin(self) -> None:
        """Read the head. The lines that come later are those between the chunks of a body, which its reader bounds."""
        super().begin()
        self._head.left = float("inf")


class _Connection(HTTPConnection):
    response_class = _Response


class _TLSConnection(HTTPSConnection):
    response_class = _Response

    def request(self, *arguments: Any, **options: Any) -> None:
        """Send a request, over a connection that was made before, and note that the host may receive it."""
        if progress := _PROGRESS.get():
            progress.sent = True
        super().request(*arguments, **options)

    def getresponse(self) -> Any:
        """Read the head of the answer.

        Where that fails, http.client closes the connection, and urllib3 takes a closed one for one that never reached
        the proxy, unless the error is its own.
        """
        try:
            return super().getresponse()
        except ConnectionError as error:
            raise ProtocolError("Connection aborted.", error) from error


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class BoundedAdapter(HTTPAdapter):
    """Sends for ``requests`` over connections that keep the bounds of ``connections``, by a proxy and without one."""

    _POOLS: Final = {"http": _Pool, "https": _TLSPool}
    _OPTIONS: Final = [*HTTPConnection.default_socket_options, *KEEPALIVE]

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of a session without a proxy."""
        super().init_poolmanager(*arguments, socket_options=self._OPTIONS, **options)
        self.poolmanager.pool_classes_by_scheme = self._POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make the pools of a session that goes by a proxy."""
        manager = super().proxy_manager_for(proxy, socket_options=self._OPTIONS, **options)
        manager.pool_classes_by_scheme = self._POOLS
        return manager


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
        token = _PROGRESS.set(progress)
        try:
            response = self._send(request, headers, seconds, progress)
        except requests.RequestException as error:
            raise _as_of_a_socket(error) from None
        finally:
            _PROGRESS.reset(token)
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
    return SSLError(*error.args) if isinstance(error, requests.exceptions.SSLError) else error
