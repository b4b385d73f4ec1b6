"""Read a request's body, bounded in bytes and, where the server allows it, in seconds.

Werkzeug's own limit is not used: it cuts a chunked body off at ``MAX_CONTENT_LENGTH`` and does not say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import IO, Any, Final

from flask import Request

from service.core.deadline import DeadlineExceededError, deadline, gevent_bounds_sockets
from service.core.errors import (
    InvalidRequestError,
    RequestTimeoutError,
    RequestTooLargeError,
    UnsupportedMediaTypeError,
)

READ_SECONDS: Final = 10
"""How long a body may take to arrive under gunicorn's gevent worker. Other servers have bounds of their own:
waitress has received the whole body before it calls the app, and gunicorn kills a sync worker after ``timeout``."""

_PIECE_BYTES: Final = 65_536


def read_json(request: Request, *, max_bytes: int) -> bytes:
    """Return the body of a request that declares it as ``application/json``.

    Raises:
        UnsupportedMediaTypeError: for any other media type.
        RequestTooLargeError, RequestTimeoutError, InvalidRequestError: as ``read_body`` does.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaTypeError("Send the body as 'Content-Type: application/json'.")
    return read_body(request.environ, max_bytes=max_bytes)


def read_body(environ: Mapping[str, Any], *, max_bytes: int) -> bytes:
    """Return the body of the request that a WSGI ``environ`` describes; ``b""`` where it has none.

    Reads past ``Content-Length`` only where the server ends the input by itself (``wsgi.input_terminated``):
    elsewhere the read would wait for the client's next request.

    Raises:
        RequestTooLargeError: if it is longer than ``max_bytes``. The rest is left unread, and the server closes
            the connection.
        RequestTimeoutError: if it did not arrive within ``READ_SECONDS``.
        InvalidRequestError: if its length cannot be known, it ended early, or its chunks are malformed
            (RFC 9112 §6.3, §7.1).
    """
    length = _declared_length(environ)
    if length is not None and length > max_bytes:
        raise _too_large(max_bytes)
    if length is None and not environ.get("wsgi.input_terminated"):
        if "HTTP_TRANSFER_ENCODING" in environ:
            raise InvalidRequestError("This server cannot read a chunked body; send it with Content-Length.")
        length = 0
    body = _read_within_bounds(environ["wsgi.input"], max_bytes + 1 if length is None else length)
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if length is not None and len(body) < length:
        raise InvalidRequestError("The body is shorter than its Content-Length.")
    return body


def _declared_length(environ: Mapping[str, Any]) -> int | None:
    text = environ.get("CONTENT_LENGTH") or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidRequestError("Content-Length must be the body's length in bytes.")
    return int(text)


def _too_large(max_bytes: int) -> RequestTooLargeError:
    return RequestTooLargeError(f"The body is too large; at most {max_bytes} bytes are accepted.")


def _read_within_bounds(stream: IO[bytes], size: int) -> bytes:
    """Read up to ``size`` bytes; fewer only where the input ends."""
    body = bytearray()
    try:
        with deadline(READ_SECONDS) if gevent_bounds_sockets() else nullcontext():
            while len(body) < size and (piece := stream.read(min(size - len(body), _PIECE_BYTES))):
                body += piece
    except (DeadlineExceededError, TimeoutError):
        raise RequestTimeoutError(
            f"The body did not arrive in time, at most {READ_SECONDS} seconds."
        ) from None
    except Exception as error:  # noqa: BLE001 - each server has an exception of its own for malformed chunks
        reason = f"the body cannot be read: {type(error).__name__}"
        raise InvalidRequestError("The body's chunks are malformed.", reason=reason) from None
    return bytes(body)
