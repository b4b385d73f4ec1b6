"""Failures on demand: a mint for the model ``fault-429`` is answered as the vendor's 429 is, and so on.

fault-401        our key is refused
fault-429        rate limited, with Retry-After
fault-500, -503  the vendor's own trouble
fault-html       200 with a web page, as a careless proxy would
fault-truncated  200 with half a JSON object
fault-empty      200 without a body
fault-hang       no answer, until the client leaves
fault-drip       a byte now and then, for ever
fault-reset      TCP RST before an answer
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from flask import Response, request

from service.sandbox.refusal import Refusal, invalid_api_key

_RETRY_AFTER_SECONDS = 2
_DRIP_SECONDS = 0.5
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing sends RST in place of FIN."""


class Abandoned(Response):
    """Ends a connection without an answer; gunicorn takes StopIteration for that."""

    def __call__(self, *_args: Any, **_kwargs: Any) -> Iterable[bytes]:
        """Answer nothing."""
        raise StopIteration


def fault_for(model: object) -> Callable[[], Response] | None:
    """Find the failure that a model's name asks for."""
    return _FAULTS.get(model) if isinstance(model, str) else None


def _refused_key() -> Response:
    raise invalid_api_key("sk-fault")


def _rate_limited() -> Response:
    raise Refusal(
        "Rate limit reached for requests. Please try again in 2s.",
        kind="requests",
        code="rate_limit_exceeded",
        status=429,
        headers={
            "Retry-After": str(_RETRY_AFTER_SECONDS),
            "Retry-After-Ms": str(_RETRY_AFTER_SECONDS * 1000),
        },
    )


def _server_error() -> Response:
    message = "The server had an error while processing your request. Sorry about that!"
    raise Refusal(message, kind="server_error", status=500)


def _overloaded() -> Response:
    message = "The engine is currently overloaded, please try again later."
    raise Refusal(message, kind="server_error", code="server_overloaded", status=503)


def _html() -> Response:
    return Response("<!doctype html><title>Sign in to the network</title><p>Please accept our terms.")


def _truncated() -> Response:
    return Response('{"value": "ek_cut_off_in_the_mid', mimetype="application/json")


def _empty() -> Response:
    return Response(b"", mimetype="application/json")


def _hang() -> Response:
    connection: socket.socket = request.environ["gunicorn.socket"]
    with suppress(OSError):
        while connection.recv(1024):
            pass
    return Abandoned()


def _drip() -> Response:
    return Response(_drops(), mimetype="application/json")


def _drops() -> Iterator[bytes]:
    while True:
        yield b" "
        time.sleep(_DRIP_SECONDS)


def _reset() -> Response:
    connection: socket.socket = request.environ["gunicorn.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()
    return Abandoned()


_FAULTS: dict[str, Callable[[], Response]] = {
    "fault-401": _refused_key,
    "fault-429": _rate_limited,
    "fault-500": _server_error,
    "fault-503": _overloaded,
    "fault-html": _html,
    "fault-truncated": _truncated,
    "fault-empty": _empty,
    "fault-hang": _hang,
    "fault-drip": _drip,
    "fault-reset": _reset,
}
