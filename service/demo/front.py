"""What stands before the demo's app: pages on loopback may call it, and the sandbox is reached through it.

Production has none of it: origins are listed there exactly, and the vendor is elsewhere.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from threading import BoundedSemaphore
from typing import Any, Final
from urllib.parse import quote, urlsplit

import gevent
from gevent.socket import wait_write
from gunicorn.util import close_graceful

from service.core.deadline import DeadlineExceededError, total_deadline
from service.core.environment_types import is_loopback
from service.core.errors import ServiceError
from service.http.request import read_body
from service.observe import METRICS_PATH

SANDBOX_PATH: Final = "/sandbox"
"""Path below which the sandbox is reached at the demo's own origin."""

Start = Callable[..., Any]
App = Callable[[dict[str, Any], Start], Iterable[bytes]]

_EXPOSED: Final = "*"  # allowed without credentials, which are cookies here and not the bearer
_OWN_CORS: Final = ("/admin", METRICS_PATH, SANDBOX_PATH)
"""Paths whose origins are not ours to allow: for the company's own servers only, and the sandbox's own."""
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "upgrade", "transfer-encoding", "host", "te", "trailer"}
)
MAX_REQUESTS: Final = 50
"""Maximum number of requests that the sandbox is being asked at once."""
MAX_WEBSOCKETS: Final = 20
"""Maximum number of WebSockets to the sandbox at once."""
SILENT_SECONDS: Final = 60.0
"""How long either side of a WebSocket may be silent, or not read: the sandbox pings every 20 s, and is answered."""
LINGER_SECONDS: Final = 5.0
"""How long a client may take to close its side of a WebSocket after the sandbox has."""
MAX_BODY_BYTES: Final = 1024 * 1024
"""Maximum size of a request to the sandbox, as the sandbox has it."""
_PLAIN: Final = [("Content-Type", "text/plain")]
_FOR_ANY_PAGE: Final = [*_PLAIN, ("Access-Control-Allow-Origin", "*")]
"""For answers in the sandbox's place, which any page may read, as it may read the sandbox's own."""
_PIECE_BYTES: Final = 65_536
_LINGER_BYTES: Final = 1024 * 1024
_SECONDS: Final = 30.0
"""How long the sandbox may take to answer."""


class Front:
    """A WSGI app before the demo's app.

    ``own_hosts`` are the machine's names and addresses beside loopback. With ``sandbox_port`` requests below
    ``SANDBOX_PATH`` go on to the sandbox. With ``loopback_only`` every other ``Host`` is refused: a name of somebody
    else's that leads to this machine would make their page one of ours (DNS rebinding).
    """

    def __init__(
        self, app: App, *, own_hosts: Collection[str], sandbox_port: int | None, loopback_only: bool
    ) -> None:
        self._app = app
        self._own_hosts = frozenset(own_hosts)
        self._sandbox_port = sandbox_port
        self._loopback_only = loopback_only
        self._requests = BoundedSemaphore(MAX_REQUESTS)
        self._websockets = BoundedSemaphore(MAX_WEBSOCKETS)

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if self._loopback_only and not is_loopback(urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname):
            start_response("421 Misdirected Request", _PLAIN)
            return [b"demo --live answers at 127.0.0.1 and localhost only.\n"]
        if self._sandbox_port and path.startswith(f"{SANDBOX_PATH}/v1/"):
            return self._ask_sandbox(environ, start_response, self._sandbox_port)
        origin = environ.get("HTTP_ORIGIN", "")
        if path.startswith(_OWN_CORS) or not self._allows(origin):
            return self._app(environ, start_response)
        return self._answer_page(origin, environ, start_response)

    def _ask_sandbox(self, environ: dict[str, Any], start_response: Start, port: int) -> Iterable[bytes]:
        """Hand a request on, unless too many are on their way: whoever is on the network needs no token for that."""
        places = self._websockets if is_websocket(environ) else self._requests
        if not places.acquire(blocking=False):
            start_response("503 Service Unavailable", [*_FOR_ANY_PAGE, ("Retry-After", "1")])
            return [b"Too many requests to the sandbox are on their way; try again later.\n"]
        try:
            return hand_on(environ, start_response, port)
        finally:
            places.release()

    def _allows(self, origin: str) -> bool:
        """Return whether a page is this machine's: on any port, since development servers choose theirs."""
        with suppress(ValueError):
            parts = urlsplit(origin)
            is_own = is_loopback(parts.hostname) or parts.hostname in self._own_hosts
            return is_own and parts.scheme in {"http", "https"} and not parts.path
        return False

    def _answer_page(self, origin: str, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        """Answer a page's request, or the browser's question before it (Fetch standard, CORS protocol)."""
        allowed = [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _EXPOSED),
            ("Vary", "Origin"),
        ]
        if environ["REQUEST_METHOD"] == "OPTIONS":
            asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
            allowed += [("Access-Control-Allow-Methods", "GET, POST, DELETE"), ("Content-Length", "0")]
            allowed += [("Access-Control-Allow-Headers", asked)] if asked else []
            start_response("200 OK", allowed)
            return [b""]

        def start(status: str, headers: Sequence[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *allowed], *rest)

        del environ["HTTP_ORIGIN"]  # it was let in here; the app would say that it does not know it
        return self._app(environ, start)


def hand_on(environ: dict[str, Any], start_response: Start, port: int) -> Iterable[bytes]:
    """Hand a request on to the sandbox, and its answer back; a WebSocket as bytes both ways."""
    target = quote(environ["PATH_INFO"].removeprefix(SANDBOX_PATH))
    target += f"?{query}" if (query := environ.get("QUERY_STRING")) else ""
    names = {name: name[5:].replace("_", "-").lower() for name in environ if name.startswith("HTTP_")}
    headers = {sent: environ[name] for name, sent in names.items() if sent not in _HOP_BY_HOP}
    if is_websocket(environ):
        _tunnel(environ, target, headers, port)
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    status, fields, content = _ask(environ, target, headers, port)
    start_response(status, fields)
    return [content]


def _ask(
    environ: dict[str, Any], target: str, headers: dict[str, str], port: int
) -> tuple[str, list[tuple[str, str]], bytes]:
    """Ask the sandbox; return the status line, header fields and body. All is bounded in seconds, the body in bytes."""
    sandbox = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        body = read_body(environ, max_bytes=MAX_BODY_BYTES)
        with total_deadline(_SECONDS):
            sandbox.request(environ["REQUEST_METHOD"], target, body, headers)
            answer = sandbox.getresponse()
            content = answer.read()
    except ServiceError as error:
        status = HTTPStatus(error.status)
        return f"{status.value} {status.phrase}", _FOR_ANY_PAGE, f"{error.message}\n".encode()
    except (OSError, HTTPException, DeadlineExceededError):
        return "502 Bad Gateway", _FOR_ANY_PAGE, b"The sandbox does not answer.\n"
    finally:
        sandbox.close()
    kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
    return f"{answer.status} {answer.reason}", kept, content


def _tunnel(environ: dict[str, Any], target: str, headers: dict[str, str], port: int) -> None:
    """Join the client's connection and one to the sandbox until either ends.

    Raises:
        StopIteration: at its end, by which gunicorn closes the connection.
    """
    client, ahead = environ["gunicorn.socket"].take_over()
    lines = [f"GET {target} HTTP/1.1", f"host: 127.0.0.1:{port}", "connection: Upgrade", "upgrade: websocket"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), _SECONDS) as sandbox:
        for side in (client, sandbox):
            side.settimeout(SILENT_SECONDS)
        sandbox.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + ahead)
        ways = [gevent.spawn(_copy, client, sandbox), gevent.spawn(_copy, sandbox, client)]
        gevent.joinall(ways, count=1)
        gevent.killall(ways)
    # With unread bytes the kernel would reset the connection, and a reset can take the Close frame with it.
    close_graceful(client, LINGER_SECONDS, _LINGER_BYTES)
    raise StopIteration


def _copy(source: Any, target: Any) -> None:
    """Copy until either side ends, is silent for too long, or does not read."""
    with suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            # While bytes are there gevent's recv does not switch: this is a turn of the loop for everybody else.
            wait_write(target.fileno(), timeout=SILENT_SECONDS)
            target.sendall(piece)


def is_websocket(environ: dict[str, Any]) -> bool:
    """Return whether a request asks for a WebSocket (RFC 6455 §4.1)."""
    return bool(environ.get("HTTP_UPGRADE", "").lower() == "websocket")
