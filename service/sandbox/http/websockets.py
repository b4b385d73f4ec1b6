"""WebSockets: refused with an ``error`` event, or pumped between the socket and its session."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from typing import Any

from flask import Flask, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server  # type: ignore[import-untyped] # it has no stubs
from wsproto.events import Ping

from service.sandbox.errors import ApiError
from service.sandbox.http.routes import BASE_PATH
from service.sandbox.http.state import current, state_of
from service.sandbox.ids import new_id
from service.sandbox.opening import Admission, ConnectRequest, close_code
from service.sandbox.sessions.base import Session
from service.sandbox.sessions.events import Event
from service.vendors import wire

OPTIONS = {"subprotocols": [wire.SUBPROTOCOL], "max_message_size": 24 * 1024 * 1024}
"""The vendor takes 15 MiB of audio in one event, which is 20 MiB of base64."""

_CLOSE_SECONDS = 2.0
_NORMAL, _GOING_AWAY = 1000, 1001

sock = Sock()


class WholeSends:
    """A connection whose ``send`` sends all bytes, from one thread at a time.

    simple-websocket calls ``send`` once, and from two threads: on a full connection that loses the rest of a frame,
    and frames get mixed up.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, data: bytes) -> None:
        """Send all bytes."""
        with self._sending:
            self._connection.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def before_request() -> None:
    """Make the connection of a WebSocket handshake send whole frames."""
    if "Sec-WebSocket-Key" in request.headers and "gunicorn.socket" in request.environ:
        request.environ["gunicorn.socket"] = WholeSends(request.environ["gunicorn.socket"])


@sock.route(BASE_PATH + wire.REALTIME_PATH)  # type: ignore[untyped-decorator] # nor has flask-sock
def realtime(ws: Server) -> None:
    """Serve a conversation or a transcription."""
    _serve(ws, translation=False)


@sock.route(BASE_PATH + wire.TRANSLATIONS_PATH)  # type: ignore[untyped-decorator]
def translations(ws: Server) -> None:
    """Serve a translation."""
    _serve(ws, translation=True)


def close_all(app: Flask) -> None:
    """Close all WebSockets of a sandbox that is about to end."""
    for ws in tuple(state_of(app).sockets):
        with suppress(ConnectionClosed, OSError):
            ws.close(_GOING_AWAY, "the sandbox ends")
        ws.event.set()  # wakes the pump, which then finds the socket closed


def _serve(ws: Server, *, translation: bool) -> None:
    state = current()
    admission = Admission(state.secrets, state.beta, time.time, time.monotonic, new_id)
    try:
        session = admission.admit(_connect_request(translation=translation))
    except ApiError as error:
        body = {**error.body, "event_id": None}
        _send(ws, [{"type": "error", "event_id": new_id("event"), "error": body}])
        _close(ws, close_code(error), error.close_reason)
        return
    state.sockets.add(ws)
    try:
        _pump(ws, session, state.ping_seconds)
    finally:
        state.sockets.discard(ws)
    _close(ws, _NORMAL, "")


def _connect_request(*, translation: bool) -> ConnectRequest:
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    return ConnectRequest(
        translation=translation,
        query=request.args,
        authorization=request.headers.get(wire.AUTHORIZATION_HEADER),
        subprotocols=tuple(name.strip() for name in offered.split(",")),
        beta_header=request.headers.get(wire.BETA_HEADER),
    )


def _pump(ws: Server, session: Session, ping_seconds: float) -> None:
    """Carry messages both ways until the session ends; raises ConnectionClosed once the client has left."""
    next_ping = time.monotonic() + ping_seconds
    _send(ws, session.open())
    while not session.ended:
        until_ping = next_ping - time.monotonic()
        if until_ping <= 0:
            ws.sock.send(ws.ws.send(Ping()))
            next_ping += ping_seconds
            continue
        due_in = session.due_in()
        message = ws.receive(timeout=until_ping if due_in is None else min(due_in, until_ping))
        if message is not None:
            _send(ws, session.receive(message))
        _send(ws, session.advance())


def _send(ws: Server, events: list[Event]) -> None:
    for event in events:
        ws.send(json.dumps(event, separators=(",", ":"), ensure_ascii=False))


def _close(ws: Server, code: int, reason: str) -> None:
    """Close, and wait for the client to confirm: ending a connection with unread messages would reset it.

    A reset would take the close code with it.
    """
    ws.close(code, reason)
    ws.thread.join(_CLOSE_SECONDS)
