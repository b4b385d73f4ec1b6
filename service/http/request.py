"""The request that is being answered: its record, what an exchange needs of it, and its body.

The body is bounded in bytes and, where the server allows it, in seconds. Werkzeug's own limit is not used: it cuts a
chunked body off at ``MAX_CONTENT_LENGTH`` and does not say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import IO, Any, Final, cast

from flask import Request
from flask.globals import request_ctx

from service.core.deadline import DeadlineExceededError, total_deadline
from service.core.errors import (
    InternalError,
    InvalidRequestError,
    RequestTimeoutError,
    RequestTooLargeError,
    UnsupportedMediaTypeError,
)
from service.core.model import Event, Record, choose_request_id
from service.exchange import Incoming
from service.http.client_address import AddressSource

READ_SECONDS: Final = 10
"""How long a body may take to arrive under gunicorn's gevent worker. Other servers have bounds of their own:
waitress has received the whole body before it calls the app, and gunicorn kills a sync worker after ``timeout``."""

_PIECE_BYTES: Final = 65_536


class RecordedRequest(Request):
    """A request that carries its record: every part of Flask that sees the one sees the other."""

    def __init__(self, environ: dict[str, Any], *args: Any, **options: Any) -> None:
        super().__init__(environ, *args, **options)
        self.started = perf_counter()
        self.record = Record(request_id=choose_request_id(environ.get("HTTP_X_REQUEST_ID", "")))

    def note_fault(self, fault: Exception, event: Event | None) -> InternalError:
        """Record an unforeseen exception, and return the error to answer with."""
        error = InternalError()
        self.record = self.record._replace(error=error, fault=fault, event=self.record.event or event)
        return error

    def incoming(self, *, addresses: AddressSource, read_body: Callable[[], bytes] = bytes) -> Incoming:
        """Return what an exchange needs of this request."""
        return Incoming(
            self.environ.get("HTTP_AUTHORIZATION"),
            lambda: addresses.read(self.remote_addr, self.headers),
            read_body,
        )

    def client_has_left(self) -> bool:
        """Return whether the client has closed its connection, where the server can (``serving.connection``)."""
        tell = getattr(self.environ.get("gunicorn.socket"), "has_left", None)
        return bool(tell and tell())


def current_request() -> RecordedRequest:
    """Return the request that is being answered: itself, since each use of Flask's proxy would look it up anew."""
    return cast("RecordedRequest", request_ctx.request)


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
    text = environ.get("CONTENT_LENGTH") or ""
    if text and not (text.isascii() and text.isdigit()):
        raise InvalidRequestError("Content-Length must be the body's length in bytes.")
    length = int(text) if text else None
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


def _too_large(max_bytes: int) -> RequestTooLargeError:
    return RequestTooLargeError(f"The body is too large; at most {max_bytes} bytes are accepted.")


def _read_within_bounds(stream: IO[bytes], size: int) -> bytes:
    """Read up to ``size`` bytes; fewer only where the input ends."""
    body = bytearray()
    try:
        with total_deadline(READ_SECONDS):
            while len(body) < size and (piece := stream.read(min(size - len(body), _PIECE_BYTES))):
                body += piece
    except (DeadlineExceededError, TimeoutError):
        raise RequestTimeoutError(f"The body did not arrive within {READ_SECONDS} seconds.") from None
    except Exception as error:  # noqa: BLE001 - each server has an exception of its own for malformed chunks
        reason = f"the body cannot be read: {type(error).__name__}"
        raise InvalidRequestError("The body's chunks are malformed.", reason=reason) from None
    return bytes(body)
