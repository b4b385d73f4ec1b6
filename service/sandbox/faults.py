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

_RATE_LIMITED = "Rate limit reached for requests. Please try again in 2s."
_FAILED = "The server had an error while processing your request. Sorry about that!"
_OVERLOADED = "The engine is currently overloaded, please try again later."
_HTML = "<!doctype html><title>Sign in to the network</title><p>Please accept our terms."
_CUT_OFF = '{"value": "ek_cut_off_in_the_mid'


class NoResponse(Response):
    """Ends the connection without an answer; gunicorn does that where an application raises StopIteration."""

    def __call__(self, *_args: Any, **_kwargs: Any) -> Iterable[bytes]:
        """Send nothing."""
        raise StopIteration


def fault_for(model: object) -> Callable[[], Response] | None:
    """Return the failure that a model's name asks for, or None.

    Calling it returns the response, or raises an ApiError.
    """
    return _FAULTS.get(model) if isinstance(model, str) else None


def _refuse(error: Callable[[], ApiError]) -> Callable[[], Response]:
    def fault() -> Response:
        raise error()

    return fault


def _rate_limited() -> ApiError:
    milliseconds = _RETRY_AFTER_SECONDS * 1000
    headers = {"Retry-After": str(_RETRY_AFTER_SECONDS), "Retry-After-Ms": str(milliseconds)}
    return ApiError(_RATE_LIMITED, kind="requests", code="rate_limit_exceeded", status=429, headers=headers)


def _hang() -> Response:
    connection: socket.socket = request.environ["gunicorn.socket"]
    with suppress(OSError):
        while connection.recv(1024):
            pass
    return NoResponse()


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
    "fault-401": _refuse(lambda: invalid_api_key("sk-fault")),
    "fault-429": _refuse(_rate_limited),
    "fault-500": _refuse(lambda: ApiError(_FAILED, kind="server_error", status=500)),
    "fault-503": _refuse(
        lambda: ApiError(_OVERLOADED, kind="server_error", code="server_overloaded", status=503)
    ),
    "fault-html": lambda: Response(_HTML),
    "fault-truncated": lambda: Response(_CUT_OFF, mimetype="application/json"),
    "fault-empty": lambda: Response(b"", mimetype="application/json"),
    "fault-hang": _hang,
    "fault-drip": lambda: Response(_dripping(), mimetype="application/json"),
    "fault-reset": _reset,
}
