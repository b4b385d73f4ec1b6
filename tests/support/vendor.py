"""A vendor that does just what a test tells it to, over real sockets, and counts what reached it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.http_server import Quiet, serving

SECRET = "ek_scripted"
GOOD = json.dumps(
    {"value": SECRET, "expires_at": 4_102_444_800, "session": {"type": "realtime", "id": "sess_scripted"}}
).encode()


@dataclass(frozen=True)
class Answer:
    """One answer of the vendor; ``None`` as status hangs up without one."""

    status: int | None = 200
    body: bytes = GOOD
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Vendor:
    """A scripted vendor: it gives its answers in turn, the last one for ever."""

    base_url: str
    script: list[Answer]
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    connections: int = 0

    def will(self, *answers: Answer) -> None:
        """Begin a new script."""
        self.script[:] = answers
        self.requests.clear()


@contextmanager
def scripted_vendor() -> Iterator[Vendor]:
    """Serve a script on a free port."""

    class Handler(Quiet, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            vendor.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            vendor.requests.append(
                (self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(body))
            )
            answer = vendor.script.pop(0) if len(vendor.script) > 1 else vendor.script[0]
            if answer.status is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

    with serving(Handler) as address:
        vendor = Vendor(f"{address}/v1", [Answer()])
        yield vendor
