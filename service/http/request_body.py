"""Reading a request's body: declared as JSON, and of bounded length."""

from __future__ import annotations

from typing import IO

from flask import Request
from gunicorn.http.body import Body
from gunicorn.http.errors import NoMoreData, ParseException

from service.core.deadline import DeadlineExceededError, deadline
from service.core.errors import (
    InvalidRequestError,
    RequestTimeoutError,
    RequestTooLargeError,
    UnsupportedMediaTypeError,
)

_DRAIN_BYTES = 16 * 1024 * 1024
_DRAIN_SECONDS = 5
_READ_SECONDS = 10


def read_json(request: Request, *, max_bytes: int) -> bytes:
    """Return the body.

    Read here and not by Werkzeug, which cuts a chunked body off at the bound and says nothing.

    Raises:
        UnsupportedMediaTypeError: where it is not declared as ``application/json``.
        RequestTooLargeError: where it is over ``max_bytes``.
        RequestTimeoutError: where it is not all there in time.
        InvalidRequestError: where its chunks are none (RFC 9112 §7.1).
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaTypeError("Send the body as 'Content-Type: application/json'.")
    stream: IO[bytes] = request.environ["wsgi.input"]
    try:
        with deadline(_READ_SECONDS):
            body = stream.read(max_bytes + 1)
    except DeadlineExceededError:
        _stop_reading(stream)
        raise RequestTimeoutError(f"The body did not arrive within {_READ_SECONDS} seconds.") from None
    except (NoMoreData, ParseException) as error:
        reason = f"the chunked body is malformed: {type(error).__name__}"
        raise InvalidRequestError("The body's chunks are malformed.", reason=reason) from None
    if len(body) > max_bytes:
        _drain(stream)
        raise RequestTooLargeError(f"The body is too large; at most {max_bytes} bytes are accepted.")
    return body


def _drain(stream: IO[bytes]) -> None:
    """Read a bounded rest first: a client in mid-send would see a reset, and not the answer."""
    left = _DRAIN_BYTES
    try:
        with deadline(_DRAIN_SECONDS):
            while left > 0 and (chunk := stream.read(min(left, 65_536))):
                left -= len(chunk)
    except (DeadlineExceededError, NoMoreData, ParseException):
        _stop_reading(stream)


def _stop_reading(stream: IO[bytes]) -> None:
    """Have the connection closed after the answer: gunicorn would look for the next request in mid-body."""
    if isinstance(stream, Body):
        stream.failed = True
