"""Kept HTTP/1.1 connections to one host, on the standard library's client.

``http.client`` runs in native threads and under gevent alike. geventhttpclient's own client fails in threads, reads a
head of any length, and takes every kept connection for closed above 1,024 descriptors; urllib3 costs twice as much.
This module adds what kept connections owe their users: interim responses are skipped, every answer is bounded in bytes
and in time, and a connection serves no other request before the answer is whole.

Should a host send one answer too many, each request that follows on the connection would be given the answer to the one
before. Four things end that: a connection with bytes on it is not used, an answer that cannot belong to its request
closes it (``Request.check``), so does one that came much sooner than is usual, and a kept connection is bounded in uses
and in age.
"""

from __future__ import annotations

import socket as sockets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from select import POLLIN
from socket import socket
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLEOFError
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from gevent.monkey import get_original
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from service.vendors.answers import Answer
from service.vendors.base import Request, Response, accept

DISCONNECTED: Final = (BrokenPipeError, ConnectionResetError, SSLEOFError)
"""The host closed the connection, as one does that is just starting again: the next attempt may reach another."""

_PORTS: Final = {"http": 80, "https": 443}
_CONNECT_SECONDS: Final = 4
"""For each address of the host, so that one that never answers leaves time for the next."""
MAX_USES: Final = 100
"""How many requests one connection carries."""
MAX_SECONDS: Final = 60
"""How old a connection may be: no older than what balancers and NATs on the way usually keep an idle one for."""
EARLY_SHARE: Final = 0.5
"""Of the usual time to an answer. The first answer that had been on its way before its request was sent comes earlier,
or else the second one does."""
_USUAL_OF: Final = 15
"""So many answers' times have the usual one in their middle."""
_SHORTEST_USUAL_SECONDS: Final = 0.04
"""Below that it is this machine's own pauses that make the difference."""
KEEPALIVE: Final = [
    (sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, 1),
    *(
        (sockets.IPPROTO_TCP, getattr(sockets, name), value)
        for name, value in {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}.items()
        if hasattr(sockets, name)  # macOS lacks the first (tcp(7))
    ),
]
"""Options of a socket: one on which nothing arrives any more is closed after 30 s, so that no request waits for it."""


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
        parts = urlsplit(base_url)
        self._host = (parts.hostname or "").rstrip(".")  # certificates name hosts without the root's dot
        self._port = parts.port or _PORTS[parts.scheme]
        self._prefix = parts.path
        self._fixed = {"Host": parts.netloc, "Accept-Encoding": "identity"}
        self._tls = trusting(ca_bundle or DEFAULT_CA_BUNDLE_PATH) if parts.scheme == "https" else None
        self._idle: deque[_Connection] = deque()
        self._waits: dict[str, deque[float]] = {}  # of each route whose answers are checked: there are few

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
            ServiceError: what ``request.check`` raises.
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
            headers_read = {name.lower(): value for name, value in answer.headers.items()}
            if progress:
                progress.head = Response(answer.status, headers_read, b"")
            response = Response(answer.status, headers_read, answer.read_whole())
            request.check(response)
        except BaseException:  # a deadline that passes is no Exception
            connection.close()
            raise
        is_early = request.check is not accept and self._is_early(request.path, connection.waited)
        if sent and not answer.will_close and not is_early and connection.may_be_used():
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

    def _is_early(self, path: str, seconds: float) -> bool:
        """Tell whether an answer took much less than is usual on its route, as one does that was there already."""
        waits = self._waits.setdefault(path.partition("?")[0], deque(maxlen=_USUAL_OF))
        usual = sorted(waits)[len(waits) // 2] if waits else 0.0
        waits.append(seconds)
        return usual > _SHORTEST_USUAL_SECONDS and seconds < EARLY_SHARE * usual

    def _take(self) -> _Connection:
        """Return an idle connection that is still open, or a new one that is not open yet."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return _Connection(self._host, self._port, self._tls)
            if connection.may_be_used() and connection.is_unused():
                return connection
            connection.close()


class _Connection(HTTPConnection):
    """One connection, with TLS where there is a ``context``."""

    def __init__(self, host: str, port: int, context: SSLContext | None) -> None:
        super().__init__(host, port, timeout=_CONNECT_SECONDS)
        self._context = context
        self._deadline = 0.0
        self._uses = 0
        self._ends = 0.0
        self._sent = 0.0
        self.waited = 0.0
        self._outgoing: list[bytes] = []

    def connect(self) -> None:
        """Connect and shake hands. An interrupted handshake leaves its socket where ``close`` finds it."""
        super().connect()
        self._ends = monotonic() + MAX_SECONDS
        for option in KEEPALIVE:
            self.sock.setsockopt(*option)
        if self._context:
            self.sock = self._context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()

    def may_be_used(self) -> bool:
        """Tell whether it is younger, and was used less often, than a kept connection may be."""
        return self._uses < MAX_USES and monotonic() < self._ends

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
        self._uses += 1
        self._outgoing.clear()
        self.request(method, path, body, headers)
        self._sent = monotonic()
        try:
            super().send(b"".join(self._outgoing))
        except DISCONNECTED:
            return False
        return True

    def send(self, data: Any) -> None:
        """Collect what ``request`` sends in parts, so that one call and one segment carry it."""
        self._outgoing.append(data)

    def getresponse(self) -> Answer:
        """Return the answer, its head read; ``waited`` then tells for how many seconds."""
        answer = super().getresponse()
        self.waited = monotonic() - self._sent
        assert isinstance(answer, Answer)  # noqa: S101 - by response_class; tells mypy
        return answer

    def response_class(self, sock: socket, *, method: str) -> Answer:  # type: ignore[override]  # any callable does
        """Make the answer that ``getresponse`` reads."""
        return Answer(sock, method, self._deadline)


def trusting(ca_bundle: str) -> SSLContext:
    """Trust these authorities alone; host names are checked (RFC 9110 §4.3.4)."""
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False  # its names are the subjectAltName's alone (RFC 9525 §2)
    context.load_verify_locations(**{"capath" if Path(ca_bundle).is_dir() else "cafile": ca_bundle})
    return context
