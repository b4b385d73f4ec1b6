"""The connection below a WebSocket, which two threads share: simple-websocket's reads, the session's sends."""

from __future__ import annotations

import select
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from flask import request
from simple_websocket import ConnectionClosed, Server  # type: ignore[import-untyped] # it has no stubs
from wsproto.events import Ping
from wsproto.utilities import LocalProtocolError

from service.sandbox import json_text
from service.sandbox.sessions.events import Event

_SOCKET = "gunicorn.socket"
_CLOSE_SECONDS = 5.0
_DISCARD_BYTES = 65_536
_MAX_WAITING_BYTES, _MAX_WAITING = 8 * 1024 * 1024, 2_000
"""How much a client may have sent that its session has not taken yet (two minutes of audio), in how many messages."""

CLIENT_LEFT = (ConnectionClosed, LocalProtocolError, OSError)
"""What sending raises once the client closes; wsproto's for the moment before simple-websocket takes notice."""


class SharedConnection:
    """A connection that one thread reads while others send.

    simple-websocket calls ``send`` once, and from two threads: on a full connection that loses the rest of a frame,
    and frames get mixed up. So all bytes are sent here, from one thread at a time. OpenSSL's connections are not
    made for two threads at all, so with TLS neither waits inside of it, and only one is there at a time.

    Who sends a frame other than Close holds ``sending`` from before wsproto makes it: wsproto makes none once a Close
    frame is on its way, but one that it has made already must not be sent after that (RFC 6455 §5.5.1).
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.sending = threading.RLock()
        self._inside = threading.Lock()
        self._inbox: list[str | bytes] = []
        self._taken = threading.Event()
        self._finished = threading.Event()
        self.closing = threading.Lock()
        if isinstance(connection, ssl.SSLSocket):
            connection.settimeout(0)

    def send(self, data: bytes) -> None:
        """Send all bytes."""
        with self.sending:
            if not isinstance(self._connection, ssl.SSLSocket):
                self._connection.sendall(data)
                return
            rest = memoryview(data)
            while rest:
                rest = rest[self._try(lambda: self._connection.send(rest)) :]  # noqa: B023 - called at once

    def bound(self, inbox: list[str | bytes]) -> None:
        """Receive nothing while too much waits in the inbox, which simple-websocket fills without a bound."""
        self._inbox = inbox

    def has_taken(self) -> None:
        """Look again whether the inbox has room: a message was taken out of it."""
        self._taken.set()

    def recv(self, size: int) -> bytes:
        """Receive some bytes once the inbox has room, or none once the connection has ended."""
        self._await_room()
        if not isinstance(self._connection, ssl.SSLSocket):
            return bytes(self._connection.recv(size))
        return bytes(self._try(lambda: self._connection.recv(size)))

    def end(self) -> None:
        """End the connection in both directions, which wakes whoever reads it."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        """Let ``close`` go on: nothing more will be sent, and no message taken."""
        self._finished.set()
        self._taken.set()

    def close(self) -> None:
        """Close once everything was sent and the client has closed too; wait at most 5 s for either.

        simple-websocket's reader calls this as soon as it knows of a Close frame. Both sides may send theirs at once
        (RFC 6455 §7.1.2): the client's arrives while another thread is about to send ours, without which the client
        reports 1006 (§7.1.5). Where ours came first, the client's is often still on its way. With unread bytes the
        kernel would reset the connection, and a reset can take the close code with it.
        """
        self._finished.wait(_CLOSE_SECONDS)
        with suppress(OSError, ValueError):  # gunicorn may have closed it meanwhile, in another thread
            self._connection.shutdown(socket.SHUT_WR)
            self._discard(time.monotonic() + _CLOSE_SECONDS)
        self._connection.close()

    def _await_room(self) -> None:
        """Wait for room in the inbox. Once nobody takes messages any more, drop them and wait for the Close frame."""
        while self._is_full() and not self._finished.is_set():
            self._taken.wait()
            self._taken.clear()
        if self._finished.is_set():
            self._inbox.clear()

    def _is_full(self) -> bool:
        if len(self._inbox) >= _MAX_WAITING:
            return True
        return sum(map(sys.getsizeof, self._inbox)) >= _MAX_WAITING_BYTES

    def _discard(self, until: float) -> None:
        """Read until the client's end; shutting down has ended TLS, so that these are the bytes on the wire."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        while (left := until - time.monotonic()) > 0 and poll.poll(left * 1000):
            if not self._connection.recv(_DISCARD_BYTES):
                return

    def _try(self, work: Any) -> Any:
        """Do something with OpenSSL as soon as the socket lets it."""
        while True:
            wanted = select.POLLIN
            with self._inside:
                try:
                    return work()
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLWantWriteError:
                    wanted = select.POLLOUT
            poll = select.poll()
            poll.register(self._connection, wanted)
            poll.poll()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def share_connection() -> None:
    """Make the connection of a WebSocket handshake one that two threads can use."""
    if "Sec-WebSocket-Key" in request.headers and _SOCKET in request.environ:
        request.environ[_SOCKET] = SharedConnection(request.environ[_SOCKET])


def receive(ws: Server, timeout: float | None = None) -> str | bytes | None:
    """Take the next message, or None where there is none in time. Raises one of CLIENT_LEFT after the last."""
    message: str | bytes | None = ws.receive(timeout=timeout)
    ws.sock.has_taken()
    return message


def send(ws: Server, events: list[Event]) -> None:
    """Send events as JSON."""
    for event in events:
        send_text(ws, json_text.encode(event))


def send_text(ws: Server, message: str) -> None:
    """Send a message. Raises one of CLIENT_LEFT where the WebSocket is closing."""
    with ws.sock.sending:
        ws.send(message)


def send_ping(ws: Server) -> None:
    """Send a Ping frame. Raises one of CLIENT_LEFT where the WebSocket is closing."""
    with ws.sock.sending:
        ws.sock.send(ws.ws.send(Ping()))


def send_close(ws: Server, code: int, reason: str | None = None) -> None:
    """Send a Close frame, unless the WebSocket is closing already."""
    with ws.sock.closing, suppress(*CLIENT_LEFT):
        ws.close(code, reason)


def close(ws: Server, code: int, reason: str | None = None) -> None:
    """Close, also where the client has begun to, and wait for the reader: it may be sending the client's confirmation.

    The reader ends with the client's Close frame; without one, the connection ends after 5 s.
    """
    send_close(ws, code, reason)
    ws.sock.finish()
    ws.thread.join(_CLOSE_SECONDS)
    ws.sock.end()
