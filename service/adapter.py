"""Connections to one host that are kept, and cost next to nothing to use again."""

from __future__ import annotations

from contextlib import suppress
from http.client import HTTPException, IncompleteRead
from io import BytesIO
from pathlib import Path
from select import POLLIN
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any
from urllib.parse import urlsplit

import requests
from gevent import socket
from gevent.monkey import get_original
from gevent.ssl import SSLContext, SSLError, create_default_context
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPConnectionClosed, HTTPSocketPoolResponse
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH

_PORTS = {"http": 80, "https": 443}


class OneHostAdapter(BaseAdapter):
    """Sends to the host of ``url``, with geventhttpclient's pool and its parser, which is written in C.

    The way there and back by urllib3 costs four times as much, which was a third of a whole mint. This one knows
    no proxy and undoes no content coding. ``ca_bundle`` is a file or a folder. ``timeout`` bounds each wait for
    bytes, in seconds; what bounds an exchange as a whole, connecting included, is ``outbound.deadline``.
    """

    def __init__(self, url: str, *, connections: int, ca_bundle: str | None = None) -> None:
        super().__init__()
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._authority = parts.netloc
        where: dict[str, Any] = {
            "connection_host": host,
            "connection_port": port,
            "request_host": host,
            "request_port": port,
            "size": connections,
            "connection_timeout": None,
            "network_timeout": None,
        }
        if parts.scheme == "https":
            trusted = {"ca_certs": ca_bundle or DEFAULT_CA_BUNDLE_PATH}
            self._pool: ConnectionPool = TLSPool(ssl_options=trusted, ssl_context_factory=_context, **where)
        else:
            self._pool = Pool(**where)

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        """Send ``request`` and read the whole answer.

        Raises:
            requests.exceptions.InvalidHeader: where a header would end its line.
            requests.exceptions.SSLError: where the host cannot prove who it is.
            requests.exceptions.ReadTimeout: where it is silent for ``timeout`` seconds.
            requests.exceptions.ConnectionError: where it refuses, or hangs up without an answer.
            requests.exceptions.ChunkedEncodingError: where the answer breaks off, or is not HTTP.
        """
        message = self._message(request)
        try:
            answer = self._exchange(message, request.method or "GET", options.get("timeout"))
            return _response(request, answer, _rest(answer))
        except SSLError as error:
            raise requests.exceptions.SSLError(error, request=request) from None
        except TimeoutError as error:
            raise requests.exceptions.ReadTimeout(error, request=request) from None
        except (HTTPConnectionClosed, OSError) as error:
            raise requests.exceptions.ConnectionError(error, request=request) from None
        except HTTPException as error:
            raise requests.exceptions.ChunkedEncodingError(error, request=request) from None

    def close(self) -> None:
        """Close what is idle."""
        self._pool.close()

    def _exchange(self, message: bytes, method: str, timeout: float | None) -> HTTPSocketPoolResponse:
        """Return the answer once its head is there; it gives the connection back to the pool, or closes it."""
        connection = self._pool.get_socket()
        try:
            connection.settimeout(timeout)
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it hung up
                connection.sendall(message)
        except BaseException:  # a deadline that passes is no Exception
            self._pool.release_socket(connection)
            raise
        return HTTPSocketPoolResponse(connection, self._pool, method=method)

    def _message(self, request: requests.PreparedRequest) -> bytes:
        """Spell the request (RFC 9112 §2.1), in one piece: a second small one would wait for the first's receipt."""
        headers = {"Host": self._authority, "Accept-Encoding": "identity", **request.headers}
        lines = [f"{request.method} {request.path_url} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if any("\r" in line or "\n" in line for line in lines):
            raise requests.exceptions.InvalidHeader("A header holds a line break.")
        head = "\r\n".join((*lines, "", "")).encode("latin-1")
        body = request.body or b""
        return head + (body.encode() if isinstance(body, str) else body)


class _Kept:
    """What a connection that is kept asks of a pool."""

    def after_connect(self, connection: socket.socket) -> None:
        """Send at once what is written (RFC 9293 §3.7.4): the last part of a long request would wait otherwise."""
        connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)

    def _is_socket_alive(self, connection: socket.socket) -> bool:
        """Tell whether an idle connection can be used again: one with something to read was hung up on.

        The system's own ``poll`` answers at once, where gevent's ``select`` knows no file beyond the 1,024th.
        """
        poll = get_original("select", "poll")()
        poll.register(connection, POLLIN)
        return not poll.poll(0)


class Pool(_Kept, ConnectionPool):
    """Connections in the clear."""


class TLSPool(_Kept, SSLConnectionPool):
    """Connections under TLS."""


def _context(cafile: str) -> SSLContext:
    return create_default_context(**{"capath" if Path(cafile).is_dir() else "cafile": cafile})


def _rest(answer: HTTPSocketPoolResponse) -> bytes:
    try:
        return answer.read()
    except TimeoutError:
        raise
    except OSError as error:
        raise IncompleteRead(b"") from error


def _response(
    request: requests.PreparedRequest, answer: HTTPSocketPoolResponse, body: bytes
) -> requests.Response:
    response = requests.Response()
    response.request = request
    response.url = request.url or ""
    response.status_code = answer.status_code
    response.headers = CaseInsensitiveDict(answer.items())
    response.raw = BytesIO(body)
    return response
