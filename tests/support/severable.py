"""Ways between a client and a server that a test can cut: a wire for TCP, a relay for UDP."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class SeverableWire:
    """Forwards every connection to ``target`` (host and port), and can cut them all."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection, as a network does that goes away."""
        while self._connections:
            connection = self._connections.pop()
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._connections += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=_forward, args=(source, sink), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def severable_wire(target: tuple[str, int]) -> Iterator[SeverableWire]:
    """Put a wire in front of a server."""
    wire = SeverableWire(target)
    try:
        yield wire
    finally:
        wire.close()


@contextmanager
def udp_relay(server: tuple[str, int]) -> Iterator[int]:
    """Pass datagrams between one client and a server, until the block ends; gives the port, of the same address."""
    with socket.socket(type=socket.SOCK_DGRAM) as near, socket.socket(type=socket.SOCK_DGRAM) as far:
        near.bind((server[0], 0))
        far.bind((server[0], 0))
        clients: list[tuple[str, int]] = []

        def pass_on() -> None:
            with suppress(OSError, ValueError):  # they are closed
                while ready := select.select((near, far), (), ())[0]:
                    if near in ready:
                        data, client = near.recvfrom(65_536)
                        clients[:] = [client]
                        far.sendto(data, server)
                    if far in ready:
                        near.sendto(far.recv(65_536), clients[0])

        threading.Thread(target=pass_on, daemon=True).start()
        yield near.getsockname()[1]
