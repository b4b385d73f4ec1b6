"""gunicorn's gevent worker, with better manners: it refuses in the contract's shape, and it ends in seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import gevent
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

from service.core.errors import code_of, error_body
from service.observe import logs

_STATUSES = {
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}


_LINGER = 2.0
"""Seconds in which an idle connection may still bring a request, once the worker is told to end."""


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn is not typed
    """Refuses malformed HTTP with JSON, where gunicorn would send a page of HTML.

    And at its end it waits for requests only: a router's idle connections, which live for minutes, would
    hold up every deployment for all of ``graceful_timeout``.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting: dict[gevent.Timeout, gevent.Greenlet] = {}

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Bound a connection's wait for its next request, and note that it waits."""
        # gevent reads on without a pause where the next request is there already: a busy client would be served
        # again and again, and the others not at all. So each takes its turn.
        gevent.sleep(0)
        logs.REQUEST_ID.set(None)  # what is logged from here on is of no request, or of the next
        with gevent.Timeout(self.cfg.keepalive, exception=False) as patience:
            self._waiting[patience] = gevent.getcurrent()
            try:
                yield
            finally:
                del self._waiting[patience]

    def handle_exit(self, sig: int, frame: Any) -> None:
        """End gracefully (SIGTERM): answer what was asked, then close what is idle."""
        super().handle_exit(sig, frame)
        gevent.spawn_later(_LINGER, self._close_idle_connections)

    def _close_idle_connections(self) -> None:
        for patience in tuple(self._waiting):
            gevent.get_hub().loop.run_callback(self._lose, patience)

    def _lose(self, patience: gevent.Timeout) -> None:
        """Let a wait time out. Runs in the hub, so that no request can come between the look and the throw."""
        if waiting := self._waiting.get(patience):
            waiting.throw(patience)

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
    code = code_of(status)
    message = f"The request is not HTTP that this server accepts: {status.phrase}."
    body = json.dumps(error_body(message, type="invalid_request_error", code=code)).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
