"""gunicorn's gevent worker, answering what it refuses itself in the contract's error shape."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http.errors import (
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.ggevent import GeventWorker

from service.errors import error_body

_STATUSES = {
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn is not typed
    """Refuses malformed HTTP with JSON, where gunicorn would send a page of HTML."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that never reached the app; its words stay out of the log, which may be a secret's."""
        ours = isinstance(exc, InvalidResponseHeader | InvalidResponseHeaderName)
        if ours or not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("Refused a malformed request: %s", type(exc).__name__)
        try:
            util.write_nonblock(client, refusal(exc))
        except OSError:
            self.log.debug("The client of a malformed request had gone.")


def refusal(error: ParseException) -> bytes:
    """Spell the whole HTTP answer to a request that cannot be parsed."""
    status = _STATUSES.get(type(error), HTTPStatus.BAD_REQUEST)
    code = status.phrase.lower().replace(" ", "_").replace("-", "_")
    message = f"The request is not HTTP that this server accepts: {status.phrase}."
    body = json.dumps(error_body(message, type="invalid_request_error", code=code)).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
