"""A client's connection, with a bound on the work, the time and the place that its bytes can take.

gevent's ``recv`` does not switch to another greenlet while bytes are waiting, so a client that sends fast enough
keeps the loop to itself: no other request runs and no timer fires, the deadline of its own request included.
``gevent.sleep(0)`` is no remedy: the loop runs fifty such callbacks before it looks at any socket.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from select import POLLIN
from time import monotonic
from typing import Any, Final

import gevent
from gevent.monkey import get_original
from gevent.socket import wait_read, wait_write
from gunicorn.http.errors import LimitRequestHeaders

from service.serving.refusal import HEAD_BYTES

SEND_SECONDS: Final = 10.0
"""How long a client may take to accept an answer, all its parts together."""
SEND_BUFFER_BYTES: Final = 32_768
"""How much of its answers is sent ahead of a client; Linux takes it twice."""
DRAIN_SECONDS: Final = 5.0
"""How long what a client still sends is taken in after an answer that does not wait for it."""
DRAIN_BYTES: Final = 16 * 1024 * 1024
"""How much of it, counted as it comes from the socket."""

_PIECE_BYTES: Final = 65_536
_CHUNKED_PIECE_BYTES: Final = 1024
"""The same for a chunked body: its parser may find a chunk in each six bytes, and takes all of them in one turn."""
_END_OF_HEAD: Final = b"\r\n\r\n"
_poll = get_original("select", "poll")  # gevent's takes a turn of its loop


class Connection:
    """A socket as gunicorn uses it; what is not bounded here is the socket's own.

    It hands over one head at a time, and each after a turn of the loop, so that busy clients take turns. While it
    waits for its client another greenlet may end the wait (``end_wait``), to have its place.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        # gunicorn calls both for each request, and __getattr__ takes longer.
        self.gettimeout, self.settimeout = sock.gettimeout, sock.settimeout
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        # The kernel would buffer megabytes for a client that asks on and reads nothing.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._greenlet = gevent.getcurrent()
        self._ended_by: BaseException | None = None
        self._is_unwanted = False
        self._held = b""  # an answer's head, which waits for its body
        self._holds_next = False
        self._received = b""  # and not handed over yet
        self._handed_over = b""  # the last bytes of a chunked body, with which the next head may have begun
        self.request: Any = None
        self.expect_head()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def expect_head(self) -> None:
        """Take what comes next for a request's head."""
        self.head = b""
        self.since = monotonic()
        self._reads_head = True
        self._send_seconds = SEND_SECONDS

    def expect_body(self, request: Any, *, chunked: bool, max_bytes: int) -> None:
        """Take what comes next for the body of ``request``: ``max_bytes``, or up to that with the framing of chunks."""
        self.request = request
        self.since = monotonic()
        self.body_failed = False
        self._reads_head = False
        self._holds_next = True
        self._chunked = chunked
        self._body_bytes = max_bytes

    def recv(self, size: int, *_flags: int) -> bytes:
        """Receive bytes: some of a body, or a whole head, since the parser would scan all of it again for each piece.

        Raises:
            LimitRequestHeaders: when a head is longer than ``HEAD_BYTES``.
            ConnectionAbortedError: when a chunked body is longer than it may be.
            TimeoutError: when another request needed the place.
        """
        return self._receive_head(size) if self._reads_head else self._receive_body(size)

    def _receive_head(self, size: int) -> bytes:
        if len(self.head) >= HEAD_BYTES:
            raise LimitRequestHeaders("limit request header fields, all together")
        if self._received:
            wait_write(self._sock.fileno())
        start = checked = len(self._handed_over)
        data = bytearray(self._handed_over + self._received)
        while (end := data.find(_END_OF_HEAD, max(0, checked - 3))) < 0:
            if (
                _has_bare_line_feed(data, checked)
                or len(data) >= HEAD_BYTES
                or not (piece := self._receive(size))
            ):
                end = len(data)
                break
            checked = len(data)
            data += piece
        else:
            end += len(_END_OF_HEAD)
        head, self._received, self._handed_over = bytes(data[start:end]), bytes(data[end:]), b""
        self.head += head
        return head

    def _receive_body(self, size: int) -> bytes:
        size = min(size, _CHUNKED_PIECE_BYTES if self._chunked else min(self._body_bytes, _PIECE_BYTES))
        self.body_failed = True  # unless what follows succeeds: a deadline may end it
        if self._received:
            piece, self._received = self._received[:size], self._received[size:]
        else:
            with self._ending_by(
                self._ended_by or TimeoutError("the connection was needed for another request")
            ):
                piece = self._receive(size)
        self._body_bytes -= len(piece)
        if self._body_bytes < 0:
            raise ConnectionAbortedError(
                errno.ECONNABORTED, "the body is too long, or its chunks are too small"
            )
        self.body_failed = False
        if self._chunked:
            self._handed_over = (self._handed_over + piece)[-3:]
        return piece

    def _receive(self, size: int) -> bytes:
        """Receive bytes after a turn of the loop over all sockets that are ready, also where some are there already."""
        # A TLS socket may hold decrypted bytes that waiting to read would not see; as a rule it can be written to.
        (wait_write if self._is_tls else wait_read)(self._sock.fileno())
        piece: bytes = self._sock.recv(size)
        return piece

    def sendall(self, data: bytes, *_flags: int) -> None:
        """Send a part of an answer, all of it within what is left of ``SEND_SECONDS``.

        The head, which gunicorn writes apart, is held for what follows (``flush``): one system call and one segment
        carry both.

        Raises:
            BrokenPipeError: when the client does not take it in time, or another request needed the place.
        """
        if self._holds_next:
            self._held, self._holds_next = data, False
        else:
            held, self._held = self._held, b""
            self.send(held + data)

    def flush(self) -> None:
        """Send the head of an answer that has no body; raises as ``sendall`` does."""
        if self._held:
            self.sendall(b"")

    def send(self, data: bytes, *_flags: int) -> int:
        """Send all of it at once, whatever is held; raises as ``sendall`` does."""
        sent = 0
        if not self._is_tls:
            with suppress(BlockingIOError):
                sent = self._sock.send(data, 0, 0.0)  # without waiting: the system buffers most answers whole
        if sent < len(data):
            self._send_waiting(data[sent:])
        return len(data)

    def _send_waiting(self, data: bytes) -> None:
        gone = BrokenPipeError(errno.EPIPE, "the client does not read its answer")
        began = monotonic()
        self._sock.settimeout(0 if self._is_unwanted else self._send_seconds)
        try:
            with self._ending_by(gone):
                self._sock.sendall(data)
        except TimeoutError:
            raise gone from None
        finally:
            self._sock.settimeout(None)
            self._send_seconds = max(0.001, self._send_seconds - (monotonic() - began))

    def drain(self) -> None:
        """Send nothing more, and take in a bounded rest of what the client still sends.

        To close while bytes arrive would reset the connection, and the client would not see its answer.
        """
        left = 0 if self._is_unwanted else DRAIN_BYTES
        self._received = b""
        with suppress(OSError), self.idle(DRAIN_SECONDS):
            self._sock.shutdown(socket.SHUT_WR)
            while left > 0 and (piece := self._receive(_PIECE_BYTES)):
                left -= len(piece)

    @contextmanager
    def idle(self, seconds: float) -> Iterator[None]:
        """Run the block for at most ``seconds``; nothing is lost when it ends earlier."""
        with gevent.Timeout(seconds, exception=False) as timeout:
            self._ended_by = timeout
            try:
                yield
            finally:
                self._ended_by = None

    @contextmanager
    def _ending_by(self, exception: BaseException) -> Iterator[None]:
        before, self._ended_by = self._ended_by, exception
        try:
            yield
        finally:
            self._ended_by = before

    def take_over(self) -> tuple[Any, bytes]:
        """Hand over the socket, with what was received after the request, to a handler that speaks no HTTP.

        From then on the handler bounds what is sent and received; gunicorn closes the connection when the handler ends.
        """
        ahead, self._received = self._received, b""
        return self._sock, ahead

    def has_left(self) -> bool:
        """Return whether the client has closed its side, which it does not do while it waits for an answer.

        With TLS this cannot be seen without reading on.
        """
        if isinstance(self._sock, ssl.SSLSocket):
            return False
        poll = _poll()
        poll.register(self._sock.fileno(), POLLIN)
        with suppress(OSError):
            return bool(poll.poll(0)) and not self._sock.recv(1, socket.MSG_PEEK)
        return True

    @property
    def is_idle(self) -> bool:
        """Return whether it waits for a request of which nothing waits to be read."""
        return isinstance(self._ended_by, gevent.Timeout) and not self._has_bytes()

    @property
    def is_waiting(self) -> bool:
        """Return whether it waits for its client: to read, or to send something."""
        if isinstance(self._ended_by, BrokenPipeError):
            return True
        return self._ended_by is not None and not self._has_bytes()

    def end_wait(self) -> None:
        """Close it as soon as possible, if it waits for its client.

        Runs in gevent's hub, so that nothing can come in between.
        """
        if self._ended_by is not None:
            self._is_unwanted = True
            self._greenlet.throw(self._ended_by)

    def _has_bytes(self) -> bool:
        with suppress(OSError):
            return any(fcntl.ioctl(self._sock.fileno(), termios.FIONREAD, struct.pack("i", 0)))
        return False


def _has_bare_line_feed(data: bytearray, start: int) -> bool:
    """Return whether a line feed at ``start`` or later follows no carriage return: no such head ever ends."""
    return data.count(b"\n", start) != data.count(b"\r\n", max(0, start - 1))
