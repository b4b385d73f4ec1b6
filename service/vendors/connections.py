"""Kept HTTP/1.1 connections to one host, on the standard library's client.

``http.client`` runs in native threads and under gevent alike. geventhttpclient's own client fails in threads, reads a
head of any length, and takes every kept connection for closed above 1,024 descriptors; urllib3 costs twice as much.
This module adds what kept connections owe their users: interim responses are skipped, every answer is bounded in bytes
and in time, and a connection serves no other request before the answer is whole.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from select import POLLIN
from socket import socket
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLEOFError, SSLSocket
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from gevent.monkey import get_original
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from service.vendors.base import Request, Response

DISCONNECTED: Final = (BrokenPipeError, ConnectionResetError, SSLEOFError)
"""The host closed the connection, as one does that is just starting again: the next attempt may reach another."""

_PORTS: Final = {"http": 80, "https": 443}
_CONNECT_SECONDS: Final = 4
"""For each address of the host, so that one that never answers leaves time for the next."""
_BLOCK_BYTES: Final = 16_384
"""A whole TLS record (RFC 8446 §5.1)."""
_MAX_HEAD_BYTES: Final = 65_536
"""As http.client bounds one line of it; interim responses count with it."""
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Twice the longest body of ours, which the vendor repeats. While bytes flood in, no timer of gevent's can fire."""


@dataclass(slots=True)
class Progress:
    """How far an exchange has come: ``sent`` from the moment at which the host may have received some of it."""

    sent: bool = False


class KeptConnections:
    """Connections to the host of ``base_url``, the one used last first. Safe to share between threads and greenlets.

    ``ca_bundle`` is a file or a folder of certificates to trust instead of the usual ones. There are at most as many
    connections as exchanges at once, which the server bounds.
    """

    def __init__(self, base_url: str, *, ca_bundle: str | None = None) -> None:
        parts = urlsplit(base_url)
        self._host = (parts.hostname or "").rstrip(".")  # certificates name hosts without the root's dot
        self._port = parts.port or _PORTS[parts.scheme]
        self._prefix = parts.path
        self._fixed = {"Host": parts.netloc, "Accept-Encoding": "identity"}
        self._tls = trusting(ca_bundle or DEFAULT_CA_BUNDLE_PATH) if parts.scheme == "https" else None
        self._idle: deque[_Connection] = deque()

    def exchange(
        self,
        request: Request,
        headers: Mapping[str, str],
        *,
        seconds: float,
        progress: Progress | None = None,
    ) -> Response:
        """Send ``request`` with the account's ``headers``, and read the whole answer within ``seconds``.

        Raises:
            TimeoutError: the host was silent, or connecting took over 4 s.
            OSError: the host cannot be reached, or closed the connection before an answer; an ``SSLError`` that is
                none of ``DISCONNECTED``: it cannot prove who it is, or speaks no TLS.
            HTTPException: the answer breaks off, is too long, or is not HTTP.
            ValueError: a header would end its line; its text holds the header.
        """
        connection = self._take()
        try:
            connection.prepare(seconds)
            if progress:
                progress.sent = True
            path = self._prefix + request.path
            sent = connection.send_whole(request.method, path, request.body, {**self._fixed, **headers})
            answer = connection.getresponse()
            body = answer.read_whole()
        except BaseException:  # a deadline that passes is no Exception
            connection.close()
            raise
        if sent and not answer.will_close:
            self._idle.append(connection)
        else:
            connection.close()
        names = ((name.lower(), value) for name, value in answer.headers.items())
        return Response(answer.status, dict(names), body)

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        """Leave no socket open behind an app that is dropped."""
        self.close()

    def _take(self) -> _Connection:
        """Return an idle connection that is still open, or a new one that is not open yet."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return _Connection(self._host, self._port, self._tls)
            if connection.is_unused():
                return connection
            connection.close()


class _Connection(HTTPConnection):
    """One connection, with TLS where there is a ``context``."""

    def __init__(self, host: str, port: int, context: SSLContext | None) -> None:
        super().__init__(host, port, timeout=_CONNECT_SECONDS)
        self._context = context
        self._deadline = 0.0
        self._outgoing: list[bytes] = []

    def connect(self) -> None:
        """Connect and shake hands. An interrupted handshake leaves its socket where ``close`` finds it."""
        super().connect()
        if self._context:
            self.sock = self._context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()

    def is_unused(self) -> bool:
        """Tell whether nothing came in since the last answer: what did is the host closing it, or not ours.

        The system's own ``poll`` answers at once, where gevent's takes a turn of its loop, and ``select`` knows no
        descriptor above 1,024.
        """
        poll = get_original("select", "poll")()
        poll.register(self.sock, POLLIN)
        return not poll.poll(0)

    def prepare(self, seconds: float) -> None:
        """Connect where that is not done yet, for an exchange of so many seconds."""
        self._deadline = monotonic() + seconds
        if self.sock is None:
            self.timeout = min(_CONNECT_SECONDS, seconds)
            self.connect()
        open_socket: socket = self.sock
        open_socket.settimeout(seconds)

    def send_whole(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """Send a request; ``False`` where the host closed the connection meanwhile, which may have answered before."""
        self._outgoing.clear()
        self.request(method, path, body, headers)
        try:
            super().send(b"".join(self._outgoing))
        except DISCONNECTED:
            return False
        return True

    def send(self, data: Any) -> None:
        """Collect what ``request`` sends in parts, so that one call and one segment carry it."""
        self._outgoing.append(data)

    def getresponse(self) -> _Answer:
        """Return the answer, its head read."""
        answer = super().getresponse()
        assert isinstance(answer, _Answer)  # noqa: S101 - by response_class; tells mypy
        return answer

    def response_class(self, sock: socket, *, method: str) -> _Answer:  # type: ignore[override]  # any callable does
        """Make the answer that ``getresponse`` reads."""
        return _Answer(sock, method, self._deadline)


class _Answer(HTTPResponse):
    """One answer. Interim responses (RFC 9110 §15.2) come before it, and nothing may follow it."""

    def __init__(self, sock: socket, method: str, deadline: float) -> None:
        super().__init__(sock, method=method)
        # The same stream, but counted, and with a buffer that holds a TLS record.
        stream = self.fp.detach()
        self._incoming = _Incoming(stream, sock, deadline)
        self._buffer = self.fp = _Buffer(self._incoming, _BLOCK_BYTES)

    def begin(self) -> None:
        """Read the head of the final response; http.client skips a 100, and takes a 103 for the answer."""
        super().begin()
        while self.status < HTTPStatus.OK:
            self.headers = None  # type: ignore[assignment]  # as before the first head, or none would be read
            super().begin()
        lengths = set(self.headers.get_all("Content-Length", ()))
        if len(lengths) > 1 or not all(length.isdecimal() for length in lengths):
            raise HTTPException("The answer states no single length.")
        self._incoming.is_head = False

    def read_whole(self) -> bytes:
        """Read the body.

        Raises:
            HTTPException: it breaks off, it is too long, or something follows it.
        """
        parts = []
        while part := self.read(65_536):
            parts.append(part)
        if self.length:
            raise IncompleteRead(b"", self.length)
        self.close()
        if self._buffer.leftover:
            raise HTTPException("Something follows the answer.")
        return b"".join(parts)


class _Buffer(io.BufferedReader):
    """Notes what was received and not read, when http.client closes it at the end of an answer."""

    leftover = b""

    def close(self) -> None:
        if not self.closed:
            incoming = self.raw
            assert isinstance(incoming, _Incoming)  # noqa: S101 - tells mypy
            incoming.is_over = True
            self.leftover = self.peek(1) or incoming.pending()
        super().close()


class _Incoming(io.RawIOBase):
    """The bytes of one answer as they come in, bounded in number and in time."""

    def __init__(self, stream: io.RawIOBase, sock: socket, deadline: float) -> None:
        super().__init__()
        self._stream = stream
        self._sock = sock
        self._deadline = deadline
        self._received = 0
        self.is_head = True
        self.is_over = False

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Receive what comes next. A failure in mid-answer is the answer's, and no reason to ask again."""
        if self.is_over:
            return 0
        remaining = self._deadline - monotonic()
        if remaining <= 0:
            raise TimeoutError("no answer in time")
        self._sock.settimeout(remaining)
        try:
            count: int = self._stream.readinto(buffer) or 0
        except TimeoutError:
            raise
        except OSError as error:
            if self._received:
                raise IncompleteRead(b"") from error
            raise
        if not count and self._received and self.is_head:
            raise IncompleteRead(b"")
        self._received += count
        if self._received > (_MAX_HEAD_BYTES if self.is_head else MAX_ANSWER_BYTES):
            raise HTTPException("The answer is longer than one could be.")
        return count

    def pending(self) -> bytes:
        """Return something where TLS has decrypted more than was received."""
        return b"more" if isinstance(self._sock, SSLSocket) and self._sock.pending() else b""

    def close(self) -> None:
        """Close the stream; the connection stays open."""
        self._stream.close()
        super().close()


def trusting(ca_bundle: str) -> SSLContext:
    """Trust these authorities alone; host names are checked (RFC 9110 §4.3.4)."""
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(**{"capath" if Path(ca_bundle).is_dir() else "cafile": ca_bundle})
    return context
