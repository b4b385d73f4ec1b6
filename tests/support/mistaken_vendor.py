"""A vendor that errs when it is told to: one answer too many, or a small one that unpacks to a giant one."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler

from service.sandbox.tls import Certificate
from service.vendors import wire
from tests.support.attackers import UNPACKS
from tests.support.http_server import Quiet, serving

STRAY_SECONDS = 0.001


@dataclass
class MistakenVendor:
    """Gives each user a secret that names the user, the same each time."""

    base_url: str = ""
    strays: int = 0
    answers_twice: bool = False

    def answer_twice(self) -> None:
        """Send the next answer once more, a millisecond after."""
        self.answers_twice = True

    def take_mistake(self) -> bool:
        """Return whether this answer is the one to be sent twice."""
        mistaken, self.answers_twice = self.answers_twice, False
        return mistaken


@cache
def giant() -> bytes:
    """Pack a hundred megabytes into a hundred kilobytes."""
    return gzip.compress(bytes(100_000_000))


@contextmanager
def mistaken_vendor(certificate: Certificate | None = None) -> Iterator[MistakenVendor]:
    """Serve on a free port."""
    vendor = MistakenVendor()

    class Handler(Quiet, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a head and its body are sent one after the other

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if asked["session"]["model"] == UNPACKS:
                with suppress(OSError):  # who asked reads its head alone
                    self.answer(giant(), encoding="gzip")
                return
            user = self.headers[wire.SAFETY_IDENTIFIER_HEADER]
            session = {"type": "realtime", "id": "sess_1", "model": asked["session"]["model"]}
            secret = {"value": f"ek_{user}", "expires_at": 4_102_444_800, "session": session}
            mistaken = vendor.take_mistake()
            self.answer(json.dumps(secret).encode())
            if mistaken:
                time.sleep(STRAY_SECONDS)
                with suppress(OSError):  # the service closes a connection after so many uses
                    self.answer(json.dumps(secret).encode())
                vendor.strays += 1

        def answer(self, body: bytes, *, encoding: str = "identity") -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Encoding", encoding)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

    with serving(Handler, certificate) as address:
        vendor.base_url = f"{address}/v1"
        yield vendor
