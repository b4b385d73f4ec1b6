"""Connections of urllib3 with the bounds of ``connections``: ``requests`` sends over them, by a proxy or directly."""

from __future__ import annotations

import io
from contextlib import ExitStack
from contextvars import ContextVar
from http.client import HTTPException, HTTPResponse
from socket import socket
from ssl import SSLContext, SSLError
from typing import Any, Final

from requests.adapters import HTTPAdapter
from requests.utils import get_auth_from_url
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.util import make_headers

from service.vendors.connections import CONNECT_SECONDS, KEEPALIVE, MAX_HEAD_BYTES, Progress, ProxyError

PROGRESS: ContextVar[Progress | None] = ContextVar("PROGRESS", default=None)
"""Progress of the exchange that is under way: neither ``requests`` nor urllib3 hands it on to a connection."""


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
        if progress := PROGRESS.get():
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


def open_tunnel(proxy: str, host: str, port: int, context: SSLContext) -> Any:
    """Connect to a host behind TLS by a proxy, which is itself reached by TLS where its URL begins with ``https``.

    The result is used like a socket, except that ``recv`` may return 0 where the connection has ended.

    Raises:
        TimeoutError: the proxy's answer, or a handshake, took over 4 s.
        SSLError: the host, or the proxy, cannot prove who it is.
        ProxyError: the proxy cannot be reached, or refuses.
    """
    user, password = get_auth_from_url(proxy)
    headers = make_headers(proxy_basic_auth=f"{user}:{password}") if user else {}
    manager = ProxyManager(proxy, proxy_ssl_context=context)
    url, config = manager.proxy, manager.proxy_config
    assert url  # noqa: S101 - tells mypy
    connection = _TLSConnection(
        str(url.host), url.port, timeout=CONNECT_SECONDS, ssl_context=context, proxy=url, proxy_config=config
    )
    connection.set_tunnel(host, port, headers, scheme=str(url.scheme))
    with ExitStack() as on_failure:
        on_failure.callback(connection.close)
        try:
            connection.connect()
        except (TimeoutError, SSLError):
            raise
        except (OSError, HTTPException, HTTPError) as error:
            raise ProxyError(type(error).__name__) from error
        on_failure.pop_all()
    return connection.sock
