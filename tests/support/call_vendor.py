"""A vendor of Realtime calls that does what a test says while it answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from itertools import count

from service.sandbox.tls import Certificate
from tests.support.http_server import Quiet, serving

SDP = b"v=0\r\n"


def nothing() -> None:
    """Do nothing."""


@dataclass
class CallVendor:
    """Opens a call at each request, and ends it when it is asked to; each step is told before it is answered.

    ``at_opening`` and ``at_hangup`` run before an answer is sent, ``after_answer`` once an opening's was.
    ``answer`` is sent for an opening's body, ``length`` is what its head says of it.
    """

    at_opening: Callable[[], None] = nothing
    after_answer: Callable[[], None] = nothing
    at_hangup: Callable[[], None] = nothing
    answer: bytes = SDP
    length: int = len(SDP)
    base_url: str = ""
    opened: list[str] = field(default_factory=list)
    hung_up: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    numbers: Iterator[int] = field(default_factory=count)

    def hold(self) -> None:
        """Wait until the test is over."""
        self.released.wait(60)


@contextmanager
def call_vendor(certificate: Certificate | None = None) -> Iterator[CallVendor]:
    """Serve on a free port, by TLS with a certificate."""
    vendor = CallVendor()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with suppress(OSError):  # who asked may be gone
                self.hang_up() if self.path.endswith("/hangup") else self.open()

        def open(self) -> None:
            name = f"rtc_{next(vendor.numbers)}"
            vendor.opened.append(name)
            vendor.at_opening()
            self.send_response(201)
            self.send_header("Location", f"/v1/realtime/calls/{name}")
            self.send_header("Content-Length", str(vendor.length))
            self.end_headers()
            self.wfile.write(vendor.answer)
            self.wfile.flush()
            vendor.after_answer()

        def hang_up(self) -> None:
            vendor.hung_up.append(self.path.split("/")[-2])
            vendor.at_hangup()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Handler, certificate) as address:
        vendor.base_url = f"{address}/v1"
        try:
            yield vendor
        finally:
            vendor.released.set()
