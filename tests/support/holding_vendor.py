"""A vendor that takes every mint and answers none until it is told to: requests in flight, held there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import count
from urllib.parse import urlsplit

from tests.support.http_server import Quiet, serving


class HoldingVendor:
    """Counts what it holds; ``release`` lets all go, each with a secret of its own."""

    def __init__(self) -> None:
        self._numbers = count()
        self._released = threading.Event()
        self.holding = 0
        self.minted: list[str] = []
        self.base_url = ""

    @property
    def port(self) -> int:
        return urlsplit(self.base_url).port or 0

    def release(self) -> None:
        self._released.set()

    def mint(self) -> bytes:
        """Wait for the release, and make a secret."""
        self.holding += 1
        self._released.wait(60)
        secret = f"ek_held_{next(self._numbers)}"
        self.minted.append(secret)
        session = {"type": "realtime", "id": "sess_held", "model": "gpt-realtime-2.1"}
        return json.dumps({"value": secret, "expires_at": 4_102_444_800, "session": session}).encode()


@contextmanager
def holding_vendor() -> Iterator[HoldingVendor]:
    """Serve on a free port."""
    vendor = HoldingVendor()

    class Handler(Quiet, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = vendor.mint()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as address:
        vendor.base_url = f"{address}/v1"
        try:
            yield vendor
        finally:
            vendor.release()
