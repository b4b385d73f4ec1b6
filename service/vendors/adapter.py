"""Connections to one host that are kept, and cost next to nothing to use again."""

from __future__ import annotations

from http import HTTPStatus
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
from gevent.ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLEOFError, SSLError, SSLSocket
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPProtocolViolationError, HTTPResponse
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH

_PORTS = {"http": 80, "https": 443}
_CONNECT_SECONDS = 4
"""For each address of the host, so that one that swallows everything leaves time for the next."""
_BLOCK_BYTES = 16_384
"""A whole record of TLS (RFC 8446 §5.1): nothing is left over where ``poll`` would not see it."""
_LONGEST_HEAD = 65_536
"""In bytes, as http.client bounds a line of it; interim answers count with it."""
_LONGEST_ANSWER = 32 * 1024 * 1024
"""In bytes: twice the longest body of ours, which it repeats. While bytes flood in, no deadline can fire."""
_HUNG_UP = (BrokenPipeError, ConnectionResetError, SSLEOFError)


class OneHostAdapter(BaseAdapter):
    """Sends to the host of ``url``, with geventhttpclient's pool and its parser, which is written in C.

    The way there and back by urllib3 costs four times as much, which was a third of a whole mint. This one knows
    no proxy and undoes no content coding. At most ``connections`` requests are on their way at once, others wait;
    ``ca_bundle`` is a file or a folder. ``timeout`` bounds the sending and each wait for bytes, in seconds; what
    bounds an exchange as a whole is ``outbound.deadline``.
    """

    def __init__(self, url: str, *, connections: int, ca_bundle: str | None = None) -> None:
        super().__init__()
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")  # certificates name hosts without the root's dot
        port = parts.port or _PORTS[parts.scheme]
        self._authority = parts.netloc
        where: dict[str, Any] = {
            "connection_host": host,
            "connection_port": port,
            "request_host": host,
            "request_port": port,
            "size": connections,
            "connection_timeout": _CONNECT_SECONDS,
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
            requests.exceptions.SSLError: where the host cannot prove who it is, or speaks no TLS.
            requests.exceptions.ReadTimeout: where it is silent for ``timeout`` seconds, or for 4 at the start.
            requests.exceptions.ConnectionError: where it refuses, or hangs up without an answer.
            requests.exceptions.ChunkedEncodingError: where the answer breaks off, or is not HTTP.
        """
        message = self._message(request)
        try:
            answer = self._exchange(message, request.method or "GET", options.get("timeout"))
        except TimeoutError as error:
            raise requests.exceptions.ReadTimeout(error, request=request) from None
        except HTTPException as error:
            raise requests.exceptions.ChunkedEncodingError(error, request=request) from None
        except OSError as error:
            lasting = isinstance(error, SSLError) and not isinstance(error, _HUNG_UP)
            kind = requests.exceptions.SSLError if lasting else requests.exceptions.ConnectionError
            raise kind(error, request=request) from None
        return _response(request, answer)

    def close(self) -> None:
        """Close what is idle."""
        self._pool.close()

    def _exchange(self, message: bytes, method: str, timeout: float | None) -> Answer:
        """Return a whole answer. Until it is there the connection is this exchange's alone."""
        connection = self._pool.get_socket()
        try:
            connection.settimeout(timeout)
            sent = _send(connection, message)
            answer = _read(connection, method)
        except BaseException:  # a deadline that passes is no Exception
            self._pool.release_socket(connection)
            raise
        if sent and not answer.should_close():
            self._pool.return_socket(connection)
        else:
            self._pool.release_socket(connection)
        return answer

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


class Answer(HTTPResponse):
    """One answer, as far as it has come in: interim ones (RFC 9110 §15.2) precede it, nothing follows it."""

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.body = bytearray()

    @property
    def has_head(self) -> bool:
        """Whether only its body may still come in."""
        return self.headers_complete and self.status_code >= HTTPStatus.OK

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing more to come."""
        return self.has_head and self.message_complete

    def _on_message_begin(self) -> None:
        if self.is_whole:
            raise HTTPProtocolViolationError("Something follows the answer.")
        super()._on_message_begin()
        self.body.clear()

    def _on_body(self, part: bytearray) -> None:
        self.body += part


def _send(connection: socket.socket, message: bytes) -> bool:
    """Send; ``False`` where the host hung up meanwhile, which may have answered before."""
    try:
        connection.sendall(message)
    except _HUNG_UP:
        return False
    return True


def _read(connection: socket.socket, method: str) -> Answer:
    answer, received = Answer(method), 0
    while not answer.is_whole:
        data = _receive(connection, answer)
        received += len(data)
        if received > (_LONGEST_ANSWER if answer.has_head else _LONGEST_HEAD):
            raise HTTPProtocolViolationError("The answer is longer than one could be.")
        if not data and not answer.message_begun:
            raise ConnectionResetError("hung up without an answer")
        answer.feed(data)  # nothing is the end, which some answers have and others lack
        if not data and not answer.is_whole:
            raise IncompleteRead(bytes(answer.body))
    return answer


def _receive(connection: socket.socket, answer: Answer) -> bytes:
    """Receive what comes next; a failure in mid-answer is the answer's, and no reason to ask again."""
    try:
        return bytes(connection.recv(_BLOCK_BYTES))
    except TimeoutError:
        raise
    except OSError as error:
        if answer.message_begun:
            raise IncompleteRead(bytes(answer.body)) from error
        raise


class _KeepAlive:
    """What a pool owes connections that are used again."""

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


class Pool(_KeepAlive, ConnectionPool):
    """Connections in the clear."""


class TLSPool(_KeepAlive, SSLConnectionPool):
    """Connections under TLS."""

    def _connect_socket(self, connection: socket.socket, address: Any) -> SSLSocket:
        """Connect and shake hands, and close what is interrupted in that; the library would leave it open."""
        ConnectionPool._connect_socket(self, connection, address)  # noqa: SLF001 - its own, and not under TLS yet
        encrypted = self.ssl_context.wrap_socket(
            connection, server_hostname=self._request_host, do_handshake_on_connect=False
        )
        try:
            encrypted.do_handshake()
        except BaseException:
            encrypted.close()
            raise
        return encrypted


def _context(cafile: str) -> SSLContext:
    """Trust these authorities alone; gevent's own class waits in its loop, patched or not."""
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(**{"capath" if Path(cafile).is_dir() else "cafile": cafile})
    return context


def _response(request: requests.PreparedRequest, answer: Answer) -> requests.Response:
    response = requests.Response()
    response.request = request
    response.url = request.url or ""
    response.status_code = answer.status_code
    response.reason = answer.status_message or ""
    response.headers = CaseInsensitiveDict(answer.items())
    response.raw = BytesIO(answer.body)
    return response
