"""Connections are kept, and what happens to them meanwhile is noticed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from service.outbound import Network

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Impatient:
    """A server that answers once on each connection and hangs up without saying so."""

    listener: socket.socket
    hung_up: threading.Event = field(default_factory=threading.Event)
    connections: int = 0

    def serve(self) -> None:
        """Answer until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.recv(65_536)
            connection.sendall(ANSWER)
            connection.close()
            self.hung_up.set()


@pytest.fixture
def impatient() -> Iterator[Impatient]:
    """Serve impatiently on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Impatient(listener)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_a_connection_that_was_closed_while_idle_is_not_used_again(impatient: Impatient) -> None:
    """The second request goes over a fresh connection at once, and needs no retry."""
    url = f"http://127.0.0.1:{impatient.listener.getsockname()[1]}/v1"
    with Network().session(url) as session:
        for _ in range(2):
            impatient.hung_up.clear()
            assert session.get(f"{url}/models", timeout=5).text == "ok"
            assert impatient.hung_up.wait(5)
    assert impatient.connections == 2
