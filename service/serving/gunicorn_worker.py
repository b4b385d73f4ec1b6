"""gunicorn's gevent worker, with bounds on what a client can take of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from math import inf
from time import monotonic
from typing import Any, Final

import gevent
from gevent.select import select
from gevent.server import StreamServer
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.workers.ggevent import GeventWorker

from service.observe import logs
from service.serving.connection import DRAIN_SECONDS, Connection
from service.serving.refusal import refuse
from service.settings import process_settings

DRAIN_GRACE: Final = 2.0
"""Seconds in which an idle connection may still bring a request, once the worker is told to end."""
KEPT_BODY_BYTES: Final = 65_536
"""The longest unread body that is read after its answer, so that its connection can be kept."""

_IDLE_SECONDS: Final = 1.0
_WAIT_SECONDS: Final = 0.1
_FRAMING_BYTES: Final = 16_384
_ACCEPT_SECONDS: Final = 0.1
_LOOK_AGAIN_SECONDS: Final = 0.005
_RESERVE: Final = 16
"""One connection in this many is kept free of idle ones, or a crowd of newcomers would wait for each other."""


@dataclass(frozen=True, slots=True)
class Address:
    """What gunicorn asks the listener for; it has closed the listener when it answers the last connections."""

    name: Any

    def getsockname(self) -> Any:
        """Return the address that the listener was bound to."""
        return self.name


class Server(StreamServer):  # type: ignore[misc]  # gevent is not typed
    """Accepts connections; with nearly all places taken, it closes those that have been idle longest."""

    def __init__(
        self, listener: Any, *, handler_class: Worker, spawn: Any, environ: Any, **options: Any
    ) -> None:
        for unused in ("application", "log"):
            options.pop(unused, None)
        handle = partial(handler_class.handle, Address(listener.getsockname()))
        super().__init__(listener, handle=handle, spawn=spawn, **options)
        self._worker = handler_class
        self._looks_again = False
        if environ["wsgi.multiprocess"]:
            self.max_accept = 1  # leave some for the other workers

    def do_handle(self, *accepted: Any) -> None:
        """Serve a connection that was accepted, and keep some places free for those that follow."""
        super().do_handle(*accepted)
        if lacking := self._lacking():
            self._worker.end_longest_waits(lacking, only_idle=True)
        if self.pool.full() and not self._looks_again:
            self._looks_again = True
            gevent.spawn_later(_LOOK_AGAIN_SECONDS, self._look_again)

    def _lacking(self) -> int:
        reserve = 1 + int(self.pool.size) // _RESERVE
        return max(0, reserve - int(self.pool.free_count()))

    def _look_again(self) -> None:
        """While all places are taken and somebody waits for one, take them from those that wait for their clients."""
        while self.started and self.pool.full():
            if select([self.socket.fileno()], [], [], 0)[0]:
                self._worker.end_longest_waits(self._lacking(), only_idle=False)
            gevent.sleep(_LOOK_AGAIN_SECONDS)
        self._looks_again = False

    def close(self) -> None:
        """Accept what waits in the accept queue, which would be reset otherwise; then stop to listen."""
        with suppress(OSError):
            while self.started and self.pool.wait_available(timeout=_ACCEPT_SECONDS):
                if not (accepted := self.do_read()):
                    break
                self.do_handle(*accepted)
        super().close()


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn is not typed
    """Serves requests; a connection that waits for its client holds no place that a request needs.

    At its end it waits for requests only: a router's idle connections, which live for minutes, would hold up every
    deployment for all of ``graceful_timeout``.
    """

    server_class = Server

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.wsgi_handler = self  # gunicorn hands it to the server as ``handler_class``
        settings = process_settings()
        self._origins = settings.http.origins
        # A chunked body may take a quarter more than its content: chunks of some twenty bytes.
        self._max_body_bytes = settings.http.max_body_bytes * 5 // 4 + _FRAMING_BYTES
        # In the order in which each began to wait for a request, or to answer one.
        self._connections: dict[gevent.Greenlet, Connection] = {}
        self._told_to_end = 0.0

    def load_wsgi(self) -> None:
        """Load the app, and have each answer say whether its connection closes."""
        super().load_wsgi()
        self.wsgi: Callable[..., Iterable[bytes]] = _closing_unread(self.wsgi)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection."""
        greenlet = gevent.getcurrent()
        self._connections[greenlet] = Connection(client)
        try:
            super().handle(listener, self._connections[greenlet], addr)
        finally:
            del self._connections[greenlet]

    def timeout_ctx(self) -> AbstractContextManager[None]:
        """Bound a connection's wait for its next request, and note that it waits."""
        logs.REQUEST_ID.set(None)  # what is logged from here on is of no request, or of the next
        connection = self._move_to_end()
        connection.expect_head()
        return connection.idle(self.cfg.keepalive if self.alive else DRAIN_GRACE)

    def _move_to_end(self) -> Connection:
        greenlet = gevent.getcurrent()
        self._connections[greenlet] = connection = self._connections.pop(greenlet)
        return connection

    def handle_request(self, listener_name: Any, req: Any, _sock: Any, addr: Any) -> None:
        """Answer one request, and leave the connection where the next one starts.

        gunicorn would read an unread body to its end, however long, before the next request.

        Raises:
            StopIteration: where the connection is to be closed, as gunicorn's own method does.
        """
        connection = self._move_to_end()
        length = _unread_bytes(req)
        chunked = length == inf
        connection.expect_body(
            req, chunked=chunked, max_bytes=self._max_body_bytes if chunked else int(length)
        )
        try:
            super().handle_request(listener_name, req, connection, addr)
        except StopIteration:
            with suppress(OSError):  # after a fault of the app gunicorn has shut the socket down
                connection.flush()
            if _unread_bytes(req):
                connection.drain()
            raise
        connection.flush()
        if _unread_bytes(req):
            with connection.idle(DRAIN_SECONDS):
                req.body.read()
            if _unread_bytes(req):
                raise StopIteration

    def end_longest_waits(self, count: int, *, only_idle: bool) -> None:
        """Close the connections that have been idle longest; without any, those that wait longest for their clients.

        A connection that was just opened is not idle: its request is on the way.
        """
        now = monotonic()
        connections = tuple(self._connections.values())
        ended = [each for each in connections if now - each.since > _IDLE_SECONDS and each.is_idle]
        if not ended and not only_idle:
            ended = [each for each in connections if now - each.since > _WAIT_SECONDS and each.is_waiting]
        for connection in ended[:count]:
            self._expire_wait(connection)

    def _expire_wait(self, connection: Connection) -> None:
        gevent.get_hub().loop.run_callback(connection.end_wait)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """End gracefully (SIGTERM): answer what was asked, then close what is idle."""
        self._told_to_end = self._told_to_end or monotonic()
        super().handle_exit(sig, frame)
        gevent.spawn_later(DRAIN_GRACE, self._close_idle_connections)

    def seconds_ending(self) -> float:
        """Return how long ago it was told to end."""
        return monotonic() - self._told_to_end if self._told_to_end else 0.0

    def _close_idle_connections(self) -> None:
        for connection in tuple(self._connections.values()):
            if connection.is_idle:
                self._expire_wait(connection)

    def handle_error(self, req: Any, client: Connection, addr: Any, exc: BaseException) -> None:
        """Answer a request that the app did not; its words stay out of the log, since they may be a secret's."""
        del req, addr
        answer = refuse(exc, client.head, origins=self._origins)
        logs.REQUEST_ID.set(answer.request_id)
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("A request was not answered by the app", exc_info=exc)
        else:
            self.log.warning("Refused a malformed request: %s", type(exc).__name__)
        try:
            client.send(answer.bytes)
        except OSError:
            self.log.debug("The client of a malformed request had gone.")
        else:
            client.drain()


def _closing_unread(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Wrap a WSGI app, so that an answer to a body that stays unread says ``Connection: close``."""

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        connection: Connection = environ["gunicorn.socket"]

        def start(*answer: Any) -> Any:
            if connection.body_failed or _unread_bytes(connection.request) > KEPT_BODY_BYTES:
                connection.request.force_close()
            return start_response(*answer)

        return app(environ, start)

    return wrapped


def _unread_bytes(request: Any) -> float:
    """Count what is still to be read of a request's body; infinity where its chunks have not ended.

    gunicorn has no public way to ask. This reads two attributes of its readers, and a test fails when they change.
    """
    reader = request.body.reader
    if isinstance(reader, LengthReader):
        return float(reader.length)
    return 0 if isinstance(reader, ChunkedReader) and reader.parser is None else inf
