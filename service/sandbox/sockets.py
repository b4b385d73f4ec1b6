"""WebSockets: refusals in-band, then a pump between the socket and the session's state machine."""

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

from service.sandbox.ids import new_id
from service.sandbox.opening import Doorkeeper, Knock, Talk, close_code
from service.sandbox.refusal import Refusal
from service.sandbox.routes import BASE_PATH
from service.sandbox.state import current, of
from service.sandbox.talk.server_events import Event
from service.vendors import wire

OPTIONS = {"subprotocols": [wire.SUBPROTOCOL], "max_message_size": 24 * 1024 * 1024}
"""The vendor takes 15 MiB of audio in one event, which is 20 MiB of base64."""

_FAREWELL_SECONDS = 2.0
_NORMAL, _GOING_AWAY = 1000, 1001

sock = Sock()


class WholeSends:
    """A connection whose ``send`` sends everything.

    simple-websocket calls ``send`` once and from two threads, which on a connection that is full loses
    the rest of a frame and mixes frames up.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, data: bytes) -> None:
        """Send all of it, in one piece."""
        with self._sending:
            self._connection.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def before() -> None:
    """Make a connection that is about to become a WebSocket send whole frames."""
    if "Sec-WebSocket-Key" in request.headers and "gunicorn.socket" in request.environ:
        request.environ["gunicorn.socket"] = WholeSends(request.environ["gunicorn.socket"])


@sock.route(BASE_PATH + wire.REALTIME_PATH)  # type: ignore[untyped-decorator] # nor has flask-sock
def realtime(ws: Server) -> None:
    """Hold a conversation, or transcribe."""
    _serve(ws, translation=False)


@sock.route(BASE_PATH + wire.TRANSLATIONS_PATH)  # type: ignore[untyped-decorator]
def translations(ws: Server) -> None:
    """Translate."""
    _serve(ws, translation=True)


def farewell(app: Flask) -> None:
    """Close every WebSocket of a sandbox that is about to end."""
    for ws in tuple(of(app).sockets):
        with suppress(ConnectionClosed, OSError):
            ws.close(_GOING_AWAY, "the sandbox ends")
        ws.event.set()  # wakes the pump, which then finds the socket closed


def _serve(ws: Server, *, translation: bool) -> None:
    state = current()
    doorkeeper = Doorkeeper(state.vault, state.beta, time.time, time.monotonic, new_id)
    try:
        talk = doorkeeper.admit(_knock(translation=translation))
    except Refusal as refusal:
        _send(ws, [_error(refusal)])
        _close(ws, close_code(refusal), refusal.close_reason)
        return
    state.sockets.add(ws)
    try:
        _pump(ws, talk, state.ping_seconds)
    finally:
        state.sockets.discard(ws)
    _close(ws, _NORMAL, "")


def _knock(*, translation: bool) -> Knock:
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    return Knock(
        translation=translation,
        query=request.args,
        authorization=request.headers.get(wire.AUTHORIZATION_HEADER),
        offered=tuple(name.strip() for name in offered.split(",")),
        beta_header=request.headers.get(wire.BETA_HEADER),
    )


def _error(refusal: Refusal) -> Event:
    return {"type": "error", "event_id": new_id("event"), "error": {**refusal.error, "event_id": None}}


def _pump(ws: Server, talk: Talk, ping_seconds: float) -> None:
    """Carry messages both ways until the session ends; a client that leaves raises ConnectionClosed."""
    next_ping = time.monotonic() + ping_seconds
    _send(ws, talk.open())
    while not talk.ended:
        until_ping = next_ping - time.monotonic()
        if until_ping <= 0:
            ws.sock.send(ws.ws.send(Ping()))
            next_ping += ping_seconds
            continue
        due_in = talk.due_in()
        message = ws.receive(timeout=until_ping if due_in is None else min(due_in, until_ping))
        if message is not None:
            _send(ws, talk.receive(message))
        _send(ws, talk.advance())


def _send(ws: Server, events: list[Event]) -> None:
    for event in events:
        ws.send(json.dumps(event, separators=(",", ":"), ensure_ascii=False))


def _close(ws: Server, code: int, reason: str) -> None:
    """Close, and wait for the client to agree.

    Ending the connection at once, with messages unread, would reset it and take the close code along.
    """
    ws.close(code, reason)
    ws.thread.join(_FAREWELL_SECONDS)
