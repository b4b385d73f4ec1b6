"""Kept HTTP/1.1 connections to one host: plain sockets, and the parser of ``httptools``, in C.

They run in native threads and under gevent alike. Every answer is bounded in bytes and in time, interim responses are
skipped, and a connection serves no other request before the answer is whole.

Should a host send one answer too many, each request that follows on the connection would be given the answer to the one
before. Four things end that: a connection with bytes on it is not used, an answer that cannot belong to its request
closes it (``Check``), so does one that came much sooner than is usual, and a kept connection is bounded in uses
and in age.
"""

from __future__ import annotations

import re
import socket
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPException, RemoteDisconnected
from pathlib import Path
from select import POLLIN
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLEOFError, SSLSocket
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from certifi import where as bundled_authorities
from gevent.monkey import get_original
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from service.vendors.base import Check, Request, Response

DISCONNECTED: Final = (BrokenPipeError, ConnectionResetError, SSLEOFError)
"""The host closed the connection, as one does that is just starting again: the next attempt may reach another."""


class ProxyError(OSError):
    """The proxy on the way to the host cannot be reached, or refuses."""


MAX_USES: Final = 100
"""Maximum number of requests on one connection."""
MAX_SECONDS: Final = 60
"""How old a connection may be: no older than what balancers and NATs on the way usually keep an idle one for."""
MAX_HEAD_BYTES: Final = 65_536
"""Maximum size of a response's head, with all interim responses before it."""
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Maximum size of a body: twice the longest of ours, which the vendor repeats.

While bytes flood in, no timer of gevent's can fire.
"""
EARLY_SHARE: Final = 0.65
"""Share of the usual wait; a response that arrives sooner is suspect, since it may belong to an earlier request.

Where all waits are alike, a stray response or the one after it arrives within half of that; the rest allows for jitter.
"""
KEEPALIVE: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}.items()
        if hasattr(socket, name)  # macOS lacks the first (tcp(7))
    ),
]
"""Options of a socket: one on which nothing arrives any more is closed after 30 s, so that no request waits for it."""

CONNECT_SECONDS: Final = 4
"""Timeout for each address of the host, so that one that never answers leaves time for the next.

By a proxy also for its answer to CONNECT.
"""

JUST_NOW_SECONDS: Final = 1.0
"""How soon after its last answer a connection is used for what must not be sent twice: a host that keeps connections
waits longer before it closes one for being idle (2 s and more, by the defaults of common servers)."""

_PORTS: Final = {"http": 80, "https": 443}
_BLOCK_BYTES: Final = 65_536
_SAMPLES: Final = 15
"""How many recent waits the shortest is taken from."""
_SHORTEST_USUAL_SECONDS: Final = 0.05
"""Usual wait below which no response is suspect: this machine's own pauses would make the difference."""
_poll = get_original("select", "poll")
_PATH: Final = re.compile(r"[!-~]+", re.ASCII)


@dataclass(slots=True)
class Progress:
    """How far an exchange has come: ``sent`` from the moment at which the host may have received some of it.

    ``head`` is the answer without its body, as soon as its head was read.
    """

    sent: bool = False
    head: Response | None = None


class KeptConnections:
    """Connections to the host of ``base_url``, the one used last first. Safe to share between threads and greenlets.

    ``ca_bundle`` is a file or a folder of certificates to trust instead of the usual ones. There are at most as many
    connections as exchanges at once, which the server bounds.
    """

    def __init__(self, base_url: str, *, ca_bundle: str | None = None) -> None:
        self._idle: deque[_Connection] = deque()
        parts = urlsplit(base_url)
        self._host = (parts.hostname or "").rstrip(".")  # certificates name hosts without the root's dot
        self._port = parts.port or _PORTS[parts.scheme]
        self._prefix = parts.path
        self._fixed_headers = f"Host: {parts.netloc}\r\nAccept-Encoding: identity"
        self._tls = make_tls_context(ca_bundle or bundled_authorities()) if parts.scheme == "https" else None
        # Of each route whose answers are checked: there are few.
        self._waits: defaultdict[str, deque[float]] = defaultdict(partial(deque, maxlen=_SAMPLES))

    def exchange(
        self,
        request: Request,
        headers: Mapping[str, str],
        *,
        check: Check | None = None,
        seconds: float,
        progress: Progress | None = None,
    ) -> Response:
        """Send ``request`` with the account's ``headers``, and read the whole answer within ``seconds``.

        Raises:
            TimeoutError: the host was silent, or connecting took over 4 s.
            OSError: the host cannot be reached, or closed the connection before an answer; an ``SSLError`` that is
                none of ``DISCONNECTED``: it cannot prove who it is, or speaks no TLS.
            HTTPException: the response is incomplete, is too long, or is not HTTP.
            ServiceError: what ``check`` raises.
            ValueError: a header would end its line; its text does not hold the header.
        """
        deadline, message = monotonic() + seconds, self._write(request, headers)
        connection = self._take(retryable=request.retryable)
        try:
            response = connection.exchange(message, deadline, progress or Progress())
            if check:
                check(response)
        except BaseException:  # a deadline that passes is no Exception
            connection.close()
            raise
        is_early = check is not None and self._is_early(request.path, connection)
        if connection.keeps_alive and connection.is_fresh() and not is_early:
            self._idle.append(connection)
        else:
            connection.close()
        return response

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        """Leave no socket open behind an app that is dropped."""
        self.close()

    def _write(self, request: Request, headers: Mapping[str, str]) -> bytes:
        """Write a request (RFC 9112 §3) in one piece, so that one segment carries it."""
        path, length = self._prefix + request.path, len(request.body)
        fields = [f"{name}: {value}" for name, value in headers.items()]
        lines = [
            f"{request.method} {path} HTTP/1.1",
            self._fixed_headers,
            *fields,
            f"Content-Length: {length}",
            "",
            "",
        ]
        head = "\r\n".join(lines)
        # One line end after each line, of which ``_fixed_headers`` are two: no path and no value brings another.
        if not _PATH.fullmatch(path) or {head.count("\r"), head.count("\n")} != {len(lines)}:
            raise ValueError("A line of the request would end too early.")
        return head.encode("latin-1") + request.body

    def _is_early(self, path: str, connection: _Connection) -> bool:
        """Return whether an answer took much less than is usual on its route, as one does that was there already.

        Usual is the shortest of the waits before: the others hold this process's own queues, which differ by more than
        the host does where it is busy, and each connection closed for that would make it busier. What is early is not
        learned from; a host that has become faster shows it on the next connection, whose first answer cannot be a
        stray.
        """
        waits = self._waits[path.partition("?")[0]]
        usual = min(waits, default=0.0)
        if connection.reused and usual > _SHORTEST_USUAL_SECONDS and connection.waited < EARLY_SHARE * usual:
            return True
        waits.append(connection.waited)
        return False

    def _take(self, *, retryable: bool) -> _Connection:
        """Return an idle connection that is still open, or a new one that is not open yet.

        What must not be sent twice is sent on a connection that was used just now: the host may be closing another
        (RFC 9112 §9.5), and nobody would know whether it had read the request.
        """
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return _Connection(self._host, self._port, self._tls)
            may_be_used = connection.is_fresh() and (retryable or connection.was_used_just_now())
            if may_be_used and connection.is_silent():
                return connection
            connection.close()


class _Connection:
    """One connection, with TLS where there is a ``context``. Its parser calls the ``on_…`` methods."""

    def __init__(self, host: str, port: int, context: SSLContext | None) -> None:
        self._address = (host, port)
        self._context = context
        self._socket: socket.socket | None = None
        self._poll = _poll()
        self._parser = HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._progress = Progress()
        self._has_head = self._is_whole = self._has_excess = False
        self._uses = 0
        self._answered = self._ends = 0.0
        self.keeps_alive = False
        self.waited = 0.0

    def _open(self, seconds: float) -> socket.socket:
        """Connect and shake hands where that is not done yet; ``close`` finds what an interrupted handshake leaves."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, min(CONNECT_SECONDS, seconds))
            self._ends = monotonic() + MAX_SECONDS
            for option in ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *KEEPALIVE):
                self._socket.setsockopt(*option)
            self._poll.register(self._socket, POLLIN)
            if self._context:
                self._socket = encrypted = self._context.wrap_socket(
                    self._socket, server_hostname=self._address[0], do_handshake_on_connect=False
                )
                encrypted.do_handshake()
        self._socket.settimeout(seconds)
        return self._socket

    def close(self) -> None:
        """Close it for good, and drop the parser, which refers back: without that cycle both are freed at once."""
        if self._socket:
            self._socket.close()
        vars(self).pop("_parser", None)

    @property
    def reused(self) -> bool:
        """Whether it has served more than one request."""
        return self._uses > 1

    def is_fresh(self) -> bool:
        """Return whether it is younger, and was used less often, than a kept connection may be."""
        return self._uses < MAX_USES and monotonic() < self._ends

    def was_used_just_now(self) -> bool:
        """Return whether its last answer is so recent that the host is hardly closing it for being idle."""
        return monotonic() - self._answered < JUST_NOW_SECONDS

    def is_silent(self) -> bool:
        """Return whether nothing came in since the last answer: what did is the host closing it, or not ours.

        The system's own ``poll`` answers at once, where gevent's takes a turn of its loop, and ``select`` knows no
        descriptor above 1,024.
        """
        return not self._poll.poll(0)

    def exchange(self, message: bytes, deadline: float, progress: Progress) -> Response:
        """Send a request and read the whole answer; ``waited`` is then the seconds until its head was there."""
        connected = self._open(max(0.001, deadline - monotonic()))
        self._progress = progress
        self._has_head = self._is_whole = self._has_excess = self.keeps_alive = False
        self._uses += 1
        progress.sent = is_sent = True
        started, received = monotonic(), 0
        try:
            _send(connected, message)
        except DISCONNECTED:  # the host may have answered before
            is_sent = False
        while not self._is_whole and (data := self._receive(connected, deadline, received)):
            if not self._has_head:
                self.waited = monotonic() - started
            received += len(data)
            try:
                self._parser.feed_data(data)
            except (HttpParserError, HttpParserUpgrade) as error:
                raise HTTPException(str(error)) from None
            if received > (MAX_ANSWER_BYTES if self._has_head else MAX_HEAD_BYTES):
                raise HTTPException("The response exceeds the maximum size.")
        if self._has_excess or (isinstance(connected, SSLSocket) and connected.pending()):
            raise HTTPException("There is more than one answer.")
        self.keeps_alive = self.keeps_alive and is_sent
        self._answered = monotonic()
        return self._pop_response()

    def _pop_response(self) -> Response:
        """Return the answer that was read, and keep nothing of it: an idle connection must not hold a secret."""
        response = self._make_response(b"".join(self._parts))
        self._headers, self._parts, self._progress = {}, [], Progress()
        return response

    def _make_response(self, body: bytes) -> Response:
        return Response(self._parser.get_status_code(), self._headers, body, may_be_stray=self.reused)

    def _receive(self, connected: socket.socket, deadline: float, received: int) -> bytes:
        """Receive what comes next; nothing where the answer ends with the connection.

        A failure in mid-answer is the answer's, and no reason to ask again.
        """
        remaining = deadline - monotonic()
        if remaining <= 0:
            raise TimeoutError("no answer in time")
        connected.settimeout(remaining)
        try:
            data = connected.recv(_BLOCK_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            if received:
                raise HTTPException("The response was incomplete.") from error
            raise
        if not data and not received:
            raise RemoteDisconnected("The host closed the connection without an answer.")
        lengths = {"content-length", "transfer-encoding"}
        if not data and (not self._has_head or lengths & self._headers.keys()):
            raise HTTPException("The response was incomplete.")
        return data

    def on_message_begin(self) -> None:
        """Note an answer behind the one that was asked for."""
        self._has_excess |= self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head; those behind the chunks of a body are trailers, which nothing reads."""
        if not self._has_head:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Note that the head is read, unless it is an interim response's (RFC 9110 §15.2)."""
        status = self._parser.get_status_code()
        self._has_head = status >= HTTPStatus.OK
        if self._has_head:
            self._progress.head = self._make_response(b"")

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body. An interim response has none, so that these are bytes of something else."""
        self._has_excess |= not self._has_head
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """Note that the answer is whole, or forget an interim response."""
        self._is_whole, self.keeps_alive = self._has_head, self._parser.should_keep_alive()
        if not self._has_head:
            self._headers.clear()


def _send(connected: socket.socket, message: bytes) -> None:
    """Send all of a message; ``sendall`` would look up the size of the buffer first, which holds it as a rule."""
    if (sent := connected.send(message)) < len(message):
        connected.sendall(message[sent:])


def make_tls_context(ca_bundle: str) -> SSLContext:
    """Make a context that trusts these authorities alone, and checks host names (RFC 9110 §4.3.4)."""
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False  # its names are the subjectAltName's alone (RFC 9525 §2)
    context.load_verify_locations(**{"capath" if Path(ca_bundle).is_dir() else "cafile": ca_bundle})
    return context
