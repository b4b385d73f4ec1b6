"""A WebSocket that a sandbox serves in the test's own process, so that the test decides what happens when."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import websocket
from flask import Flask
from werkzeug.test import create_environ

from tests.support.realtime import KEY, Line

CLOSE_FRAME, PING_FRAME, TEXT_FRAME = (
    0x80 | opcode
    for opcode in (websocket.ABNF.OPCODE_CLOSE, websocket.ABNF.OPCODE_PING, websocket.ABNF.OPCODE_TEXT)
)
_HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}


class ServerEnd:
    """The server's end of a connection, where something happens right before a frame is sent."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.before_close: Callable[[], Any] = lambda: None
        self.before_text: Callable[[], Any] = lambda: None
        self.received = 0
        self.has_sent_close = threading.Event()
        self.is_shut_down = threading.Event()

    def sendall(self, data: bytes) -> None:
        """Send all bytes."""
        if data[0] == CLOSE_FRAME:
            self.before_close()
        if data[0] == TEXT_FRAME:
            self.before_text()
        self._connection.sendall(data)
        if data[0] == CLOSE_FRAME:
            self.has_sent_close.set()

    def recv(self, size: int) -> bytes:
        """Receive some bytes."""
        data = self._connection.recv(size)
        self.received += len(data)
        return data

    def shutdown(self, how: int) -> None:
        """End the connection."""
        self.is_shut_down.set()
        self._connection.shutdown(how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Served:
    """A WebSocket that a sandbox serves in a thread of this process."""

    def __init__(self, app: Flask, path: str) -> None:
        ours, self._theirs = socket.socketpair()
        self._theirs.settimeout(10)
        self.server, self.has_ended = ServerEnd(ours), threading.Event()
        self._environ = create_environ(path, headers={**_HANDSHAKE, **KEY})
        self._environ["gunicorn.socket"] = self.server
        self._app = app
        ws = websocket.WebSocket()
        ws.sock, ws.connected = self._theirs, True
        self.client = Line(ws)
        self._thread = threading.Thread(target=self._serve)

    def rest(self) -> bytes:
        """Read what comes until the server closes."""
        return b"".join(iter(lambda: self._theirs.recv(65_536), b""))

    def _serve(self) -> None:
        with suppress(StopIteration):  # by which gunicorn closes the connection
            self._app(self._environ, lambda *_: lambda _: None)
        self.has_ended.set()
        self.server.close()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve it, as far as its client has the handshake's answer, until the block ends."""
        self._thread.start()
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._theirs.recv(1)
        assert b" 101 " in head
        try:
            yield
        finally:
            self._theirs.close()
            self._thread.join()
