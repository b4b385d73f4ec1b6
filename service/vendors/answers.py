"""Read one answer over a kept connection, bounded in bytes and in time, on the standard library's client."""

from __future__ import annotations

import io
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, IncompleteRead
from socket import socket
from ssl import SSLSocket
from time import monotonic
from typing import Any, Final

_BLOCK_BYTES: Final = 16_384
"""A whole TLS record (RFC 8446 §5.1)."""
MAX_HEAD_BYTES: Final = 65_536
"""As http.client bounds one line of it; interim responses count with it."""
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Twice the longest body of ours, which the vendor repeats. While bytes flood in, no timer of gevent's can fire."""


class Answer(HTTPResponse):
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
        if self._received > (MAX_HEAD_BYTES if self.is_head else MAX_ANSWER_BYTES):
            raise HTTPException("The answer is longer than one could be.")
        return count

    def pending(self) -> bytes:
        """Return something where TLS has decrypted more than was received."""
        return b"more" if isinstance(self._sock, SSLSocket) and self._sock.pending() else b""

    def close(self) -> None:
        """Close the stream; the connection stays open."""
        self._stream.close()
        super().close()
