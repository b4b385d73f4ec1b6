"""Failures on demand: a request for the model ``fault-429`` is answered like the vendor's 429, and so on.

fault-401        the company's key is refused
fault-429        rate limited, with Retry-After
fault-500, -503  the vendor fails
fault-html       200 with a web page, as a captive portal sends
fault-truncated  200 with half a JSON object
fault-empty      200 without a body
fault-hang       no answer until the client leaves
fault-drip       one byte every half second, without end
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

from service.sandbox.errors import ApiError, invalid_api_key

_RETRY_AFTER_SECONDS = 2
_DRIP_SECONDS = 0.5
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with a timeout of 0 s: closing sends RST instead of FIN."""


class NoResponse(Response):
    """Ends the connection without an answer; gunicorn does that where an application raises StopIteration."""

    def __call__(self, *_args: Any, **_kwargs: Any) -> Iterable[bytes]:
        """Response nothing."""
        raise StopIteration


def fault_for(model: object) -> Callable[[], Response] | None:
    """Return the failure that a model's name asks for, or None."""
    return _FAULTS.get(model) if isinstance(model, str) else None


def _invalid_key() -> Response:
    raise invalid_api_key("sk-fault")


def _rate_limited() -> Response:
    raise ApiError(
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
    raise ApiError(message, kind="server_error", status=500)


def _overloaded() -> Response:
    message = "The engine is currently overloaded, please try again later."
    raise ApiError(message, kind="server_error", code="server_overloaded", status=503)


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
    return NoResponse()


def _drip() -> Response:
    return Response(_dripping(), mimetype="application/json")


def _dripping() -> Iterator[bytes]:
    while True:
        yield b" "
        time.sleep(_DRIP_SECONDS)


def _reset() -> Response:
    connection: socket.socket = request.environ["gunicorn.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()
    return NoResponse()


_FAULTS: dict[str, Callable[[], Response]] = {
    "fault-401": _invalid_key,
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
