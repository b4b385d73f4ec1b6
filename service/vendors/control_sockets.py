"""WebSockets by which a server controls a running session: opened to end it, or to see that it is still there.

What comes over them, the audio of both sides included, is dropped as it is read.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from time import monotonic
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import websocket
from certifi import where as bundled_authorities

from service.core.deadline import DeadlineExceededError, total_deadline
from service.core.errors import RejectedCredentialsError
from service.vendors.connections import CONNECT_SECONDS, make_tls_context
from service.vendors.credentials import Credential
from service.vendors.network import Network

T = TypeVar("T")

_MAX_BYTES: Final = 16 * 1024 * 1024
"""Ten times what the audio of both sides comes to in the time there is."""
_PORTS: Final = {"http": 80, "https": 443}


class ControlSocketError(Exception):
    """A control socket could not be used. ``status`` is the vendor's, where it refused the upgrade; no text of its."""

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class ControlSockets:
    """Opens them below ``base_url``. Each use is bounded in seconds as a whole, and nothing is kept open."""

    def __init__(self, base_url: str, *, credential: Credential, network: Network) -> None:
        self._parts = urlsplit(base_url)
        scheme = "wss" if self._parts.scheme == "https" else "ws"
        self._base = f"{scheme}:{base_url.partition(':')[2]}"
        self._credential = credential
        self._proxy = network.proxy(base_url)
        self._tls = (
            make_tls_context(network.ca_bundle or bundled_authorities())
            if self._parts.scheme == "https"
            else None
        )

    def is_open(self, path: str, *, seconds: float) -> bool:
        """Return whether there is a session at the other end: ``False`` where the vendor answers 404.

        The socket is closed right after its upgrade, before audio is read.

        Raises:
            ControlSocketError: that cannot be known.
        """
        try:
            with self._opened(path, seconds):
                return True
        except ControlSocketError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise

    def send(self, path: str, message: str, read: Callable[[str], T | None], *, seconds: float) -> T:
        """Send a message, and return what ``read`` makes of the first message that it knows.

        Raises:
            ControlSocketError: the upgrade was refused, or no such message came in time.
        """
        with self._opened(path, seconds) as opened:
            opened.send(message)
            while True:
                opcode, data = opened.recv_data()
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    raise ControlSocketError("the control socket was closed without confirming the end")
                if (found := read(data.decode(errors="replace"))) is not None:
                    return found

    @contextmanager
    def _opened(self, path: str, seconds: float) -> Iterator[websocket.WebSocket]:
        try:
            end = monotonic() + seconds
            with total_deadline(seconds):
                headers = self._credential.headers()
                # The library's own way to close knows no socket but Python's.
                with closing(BoundedSocket(self._connect(), end)) as connected:
                    opened = self._upgrade(connected, path, headers, seconds)
                    try:
                        yield opened
                    finally:
                        with suppress(OSError, websocket.WebSocketException):
                            opened.send_close()
        except websocket.WebSocketBadStatusException as refused:  # its text holds the headers
            status = int(refused.status_code)
            raise ControlSocketError(f"the control socket was refused with {status}", status=status) from None
        except (DeadlineExceededError, TimeoutError, websocket.WebSocketTimeoutException):
            raise ControlSocketError(f"the control socket did not confirm within {seconds:g} s") from None
        except RejectedCredentialsError as refused:
            raise ControlSocketError(f"the control socket was not opened: {refused.reason}") from None
        except (OSError, websocket.WebSocketException, ValueError) as error:
            raise ControlSocketError(f"the control socket failed: {type(error).__name__}") from None

    def _upgrade(
        self, connected: BoundedSocket, path: str, headers: Mapping[str, str], seconds: float
    ) -> websocket.WebSocket:
        return websocket.create_connection(
            self._base + path,
            timeout=seconds,
            header={"User-Agent": "realtime-token-service", **headers},
            suppress_origin=True,
            redirect_limit=0,  # a redirect target would receive the key
            skip_utf8_validation=True,
            socket=connected,
        )

    def _connect(self) -> Any:
        """Connect, by the proxy where there is one.

        The library would take a proxy from the environment, and would send a password in the clear to one of https.
        """
        host = (self._parts.hostname or "").rstrip(".")
        port = self._parts.port or _PORTS[self._parts.scheme]
        if self._proxy and self._tls:
            from service.vendors.bounded_connections import open_tunnel  # noqa: PLC0415 - see service.vendors.network

            return open_tunnel(self._proxy, host, port, self._tls)
        connected = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                connected = self._tls.wrap_socket(connected, server_hostname=host)
        except BaseException:
            connected.close()
            raise
        return connected


class BoundedSocket:
    """A connected socket that receives at most 16 MB, until ``end`` (``time.monotonic``).

    The library bounds neither a head nor a message, and while bytes flood in no timer of gevent's can fire.
    """

    def __init__(self, connected: Any, end: float) -> None:
        self._connected = connected
        self._end = end
        self._received = 0

    def __getattr__(self, name: str) -> Any:
        """Do everything else as the socket does."""
        return getattr(self._connected, name)

    def recv(self, size: int) -> bytes:
        """Receive some bytes.

        Raises:
            TimeoutError: there were none until the end, or too many.
        """
        left = self._end - monotonic()
        if left <= 0 or self._received > _MAX_BYTES:
            raise TimeoutError
        self._connected.settimeout(left)
        data: bytes = self._connected.recv(size) or b""  # a tunnel by TLS in TLS returns 0 at its end
        self._received += len(data)
        return data
