"""Reading a request's body: declared as JSON, and of bounded length."""

from __future__ import annotations

from typing import IO

import gevent
from flask import Request
from gunicorn.http.errors import NoMoreData, ParseException

from service.errors import InvalidRequestError, RequestTooLargeError, UnsupportedMediaTypeError

_DRAIN_BYTES = 16 * 1024 * 1024
_DRAIN_SECONDS = 5


def read_json(request: Request, *, max_bytes: int) -> bytes:
    """Return the body.

    Read here and not by Werkzeug, which cuts a chunked body off at the bound and says nothing.

    Raises:
        UnsupportedMediaTypeError: where it is not declared as ``application/json``.
        RequestTooLargeError: where it is over ``max_bytes``.
        InvalidRequestError: where its chunks are none (RFC 9112 §7.1).
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaTypeError("Send the body as 'Content-Type: application/json'.")
    stream: IO[bytes] = request.environ["wsgi.input"]
    try:
        body = stream.read(max_bytes + 1)
        if len(body) > max_bytes:
            _drain(stream)
            raise RequestTooLargeError(f"The body is too large; at most {max_bytes} bytes are accepted.")
    except (NoMoreData, ParseException) as error:
        reason = f"the chunked body is malformed: {type(error).__name__}"
        raise InvalidRequestError("The body's chunks are malformed.", reason=reason) from None
    return body


def _drain(stream: IO[bytes]) -> None:
    """Read a bounded rest first: a client in mid-send would see a reset, and not the answer."""
    left = _DRAIN_BYTES
    with gevent.Timeout(_DRAIN_SECONDS, exception=False):
        while left > 0 and (chunk := stream.read(min(left, 65_536))):
            left -= len(chunk)
