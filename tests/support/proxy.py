"""An HTTP proxy on loopback that tunnels."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import parse_headers
from socketserver import StreamRequestHandler, ThreadingTCPServer

from service.sandbox.tls import Certificate


@dataclass
class Proxy:
    """An HTTP proxy that tunnels, the hosts it was asked for, and what it was signed in with."""

    url: str
    asked: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)


@contextmanager
def running_proxy(certificate: Certificate | None = None) -> Iterator[Proxy]:
    """Run a proxy that knows CONNECT alone (RFC 9110 §9.3.6), reached by TLS with a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if certificate:
        context.load_cert_chain(certificate.chain, certificate.key)

    class Tunnel(StreamRequestHandler):
        def setup(self) -> None:
            if certificate:
                self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()  # the server closes the one without TLS

        def handle(self) -> None:
            authority = self.rfile.readline().decode().split()[1]
            proxy.credentials += parse_headers(self.rfile).get_all("Proxy-Authorization", [])
            proxy.asked.append(authority)
            host, _, port = authority.rpartition(":")
            try:
                beyond = socket.create_connection((host, int(port)), timeout=10)
            except OSError:
                self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with beyond, suppress(ConnectionError):  # either side may hang up on what the other still sends
                carry(self.connection, beyond)

    with ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        server.daemon_threads = True
        proxy = Proxy(f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def carry(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either side is done."""
    while True:
        ready, _, _ = select.select([one, other], [], [], 10)
        for source in ready:
            data = source.recv(65_536)
            if not data:
                return
            (other if source is one else one).sendall(data)
        if not ready:
            return
