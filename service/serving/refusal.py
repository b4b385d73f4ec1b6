"""Answers to requests that never reach the app, since they are not HTTP or exceed what the server reads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from gunicorn.http.errors import (
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

from service.core.errors import code_of, error_body
from service.core.model import choose_request_id
from service.core.origins import EXPOSED_HEADERS, Origins

MAX_TOKEN_BYTES: Final = 16_384
"""The longest access token that reaches the app."""
MAX_FIELD_BYTES: Final = len("Authorization: Bearer ") + MAX_TOKEN_BYTES + len("\r\n")
"""The longest header field, as gunicorn counts it: the one that carries such a token."""
MAX_LINE_BYTES: Final = 4094
"""The longest request line: method, URL and version."""
HEAD_BYTES: Final = 65_536
"""How long the request line and all header fields together may be."""

_STATUSES: Final = {
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}
_LONG_TOKEN: Final = re.compile(
    rb"^authorization:[^\r\n]{%d,}" % MAX_TOKEN_BYTES, re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A whole answer: its status and body, its origin for CORS, and the request id that the log has."""

    status: HTTPStatus
    message: str
    request_id: str
    origin: str | None

    @property
    def bytes(self) -> bytes:
        """The answer as it is sent. The connection closes after it: where the next request starts is not known."""
        kind, code = "invalid_request_error", code_of(self.status)
        if self.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            kind, code = "server_error", "internal_error"
        body = json.dumps(error_body(self.message, type=kind, code=code)).encode()
        headers = {
            "Connection": "close",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Vary": "Origin",
            "X-Content-Type-Options": "nosniff",
            "X-Request-Id": self.request_id,
        }
        if self.origin:
            headers |= {
                "Access-Control-Allow-Origin": self.origin,
                "Access-Control-Expose-Headers": ", ".join(EXPOSED_HEADERS),
            }
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


def refuse(error: BaseException, head: bytes, *, origins: Origins) -> Refusal:
    """Answer ``error``, by as much of the request's ``head`` as was read before it."""
    status = status_of(error)
    origin = _field(head, b"Origin", rb"[!-~]+")
    return Refusal(
        status=status,
        message=_message(status, head),
        request_id=choose_request_id(_field(head, b"X-Request-Id", rb"[!-~]+") or ""),
        origin=origin if origin and origins.allows(origin) else None,
    )


def status_of(error: BaseException) -> HTTPStatus:
    """Tell whose fault it was: a request that cannot be parsed is the client's, everything else is ours."""
    ours = isinstance(error, InvalidResponseHeader | InvalidResponseHeaderName)
    if ours or not isinstance(error, ParseException):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    return _STATUSES.get(type(error), HTTPStatus.BAD_REQUEST)


def _message(status: HTTPStatus, head: bytes) -> str:
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return "Internal error. The service's log has the details under this response's X-Request-Id."
    if status == HTTPStatus.REQUEST_URI_TOO_LONG:
        return f"The request line is too long; at most {MAX_LINE_BYTES} bytes are accepted."
    if status != HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return f"The request is not HTTP that this server accepts: {status.phrase}."
    if _LONG_TOKEN.search(head):
        return f"The access token is too large; at most {MAX_TOKEN_BYTES} bytes are accepted."
    return (
        f"The header fields are too large; one may have {MAX_FIELD_BYTES} bytes, "
        f"and all of them together {HEAD_BYTES}."
    )


def _field(head: bytes, name: bytes, value: bytes) -> str | None:
    """Find a header field in a head that could not be parsed."""
    found = re.search(rb"^%s:[ \t]*(%s)[ \t]*\r?$" % (name, value), head, re.IGNORECASE | re.MULTILINE)
    return found[1].decode() if found else None
