"""A vendor that takes every mint and answers none until it is told to: requests in flight, held there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any


class HoldingVendor:
    """Counts what it holds; ``release`` lets all go, each with a secret of its own."""

    def __init__(self) -> None:
        self._numbers = count()
        self._released = threading.Event()
        self.holding = 0
        self.minted: list[str] = []
        self.base_url = ""

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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def holding_vendor() -> Iterator[HoldingVendor]:
    """Serve on a free port."""
    vendor = HoldingVendor()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = vendor.mint()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        vendor.base_url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield vendor
        finally:
            vendor.release()
            server.shutdown()
            thread.join()
