"""A client's connection, with a bound on the work, the time and the place that its bytes can take.

gevent's ``recv`` does not switch to another greenlet while bytes are waiting, so a client that sends fast enough
keeps the loop to itself: no other request runs and no timer fires, the deadline of its own request included.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final

import gevent
from gunicorn.http.errors import LimitRequestHeaders

from service.serving.refusal import HEAD_BYTES

SEND_SECONDS: Final = 10.0
"""How long a client may take to accept an answer, all its parts together."""
DRAIN_SECONDS: Final = 5.0
"""How long what a client still sends is taken in after an answer that does not wait for it."""
DRAIN_BYTES: Final = 16 * 1024 * 1024
"""How much of it, counted as it comes from the socket."""

_PIECE_BYTES: Final = 65_536


class Connection:
    """A socket as gunicorn uses it; what is not bounded here is the socket's own.

    While it waits for its client another greenlet may end the wait (``end_wait``), to have its place.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._greenlet = gevent.getcurrent()
        self._ended_by: BaseException | None = None
        self._last_bytes = b""
        self.request: Any = None
        self.expect_head()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def expect_head(self) -> None:
        """Take what comes next for a request's head."""
        self.head = b""
        self._reads_head = True
        self._send_seconds = SEND_SECONDS

    def expect_body(self, request: Any, *, max_bytes: int) -> None:
        """Take what comes next for the body of ``request``: at most ``max_bytes``, its chunks' framing included."""
        self.request = request
        self.body_failed = False
        self._reads_head = False
        self._body_bytes = max_bytes

    def recv(self, size: int, *_flags: int) -> bytes:
        """Receive bytes; of a head all that there is of it, since the parser scans the whole again for each piece.

        Raises:
            LimitRequestHeaders: when a head is longer than ``HEAD_BYTES``.
            ConnectionAbortedError: when a body is longer than it may be.
            TimeoutError: when another request needed the place.
        """
        piece = self._receive_head(size) if self._reads_head else self._receive_body(size)
        self._last_bytes = piece[-3:]
        return piece

    def _receive_head(self, size: int) -> bytes:
        if len(self.head) >= HEAD_BYTES:
            raise LimitRequestHeaders("limit request header fields, all together")
        received = bytearray()
        before = self._last_bytes  # in which the empty line that ends a head may have begun
        while piece := self._sock.recv(size):
            received += piece
            recent = before + piece
            if b"\r\n\r\n" in recent or _has_bare_line_feed(recent, len(before)):
                break
            if len(self.head) + len(received) >= HEAD_BYTES:
                break
            before = recent[-3:]
            gevent.sleep(0)
        self.head += received
        return bytes(received)

    def _receive_body(self, size: int) -> bytes:
        self.body_failed = True  # until it is known to be otherwise: a deadline may end the wait
        gevent.sleep(0)
        with self._ending_by(self._ended_by or TimeoutError("the place was needed for another request")):
            piece: bytes = self._sock.recv(min(size, _PIECE_BYTES))
        self.body_failed = False
        self._body_bytes -= len(piece)
        if self._body_bytes < 0:
            raise ConnectionAbortedError(
                errno.ECONNABORTED, "the body is too long, or its chunks are too small"
            )
        return piece

    def sendall(self, data: bytes, *_flags: int) -> None:
        """Send all of it within what is left of ``SEND_SECONDS``.

        Raises:
            BrokenPipeError: when the client does not take it in time, or another request needed the place.
        """
        gone = BrokenPipeError(errno.EPIPE, "the client does not read its answer")
        began = monotonic()
        self._sock.settimeout(self._send_seconds)
        try:
            with self._ending_by(gone):
                self._sock.sendall(data)
        except TimeoutError:
            raise gone from None
        finally:
            self._sock.settimeout(None)
            self._send_seconds = max(0.001, self._send_seconds - (monotonic() - began))

    def send(self, data: bytes, *_flags: int) -> int:
        """Send all of it, as ``sendall`` does."""
        self.sendall(data)
        return len(data)

    def drain(self) -> None:
        """Send nothing more, and take in a bounded rest of what the client still sends.

        To close while bytes arrive would reset the connection, and the client would not see its answer.
        """
        left = DRAIN_BYTES
        with suppress(OSError), self.idle(DRAIN_SECONDS):
            self._sock.shutdown(socket.SHUT_WR)
            while left > 0 and (piece := self._sock.recv(_PIECE_BYTES)):
                left -= len(piece)
                gevent.sleep(0)

    @contextmanager
    def idle(self, seconds: float) -> Iterator[None]:
        """Run the block for so many seconds at most; nothing is lost when it ends earlier."""
        with gevent.Timeout(seconds, exception=False) as timeout, self._ending_by(timeout):
            yield

    @contextmanager
    def _ending_by(self, exception: BaseException) -> Iterator[None]:
        before, self._ended_by = self._ended_by, exception
        try:
            yield
        finally:
            self._ended_by = before

    @property
    def is_idle(self) -> bool:
        """Tell whether it waits for a request, and none has arrived."""
        return isinstance(self._ended_by, gevent.Timeout) and not self._has_bytes()

    @property
    def is_waiting(self) -> bool:
        """Tell whether it waits for its client to send or to read."""
        return self._ended_by is not None

    def end_wait(self) -> None:
        """End its wait for the client, if it waits. Runs in gevent's hub, so that nothing can come in between."""
        if self._ended_by is not None:
            self._greenlet.throw(self._ended_by)

    def _has_bytes(self) -> bool:
        with suppress(OSError):
            return any(fcntl.ioctl(self._sock.fileno(), termios.FIONREAD, struct.pack("i", 0)))
        return False


def _has_bare_line_feed(data: bytes, start: int) -> bool:
    """Tell whether a line feed at ``start`` or later follows no carriage return: no such head ever ends."""
    return data.count(b"\n", start) != data.count(b"\r\n", max(0, start - 1))
