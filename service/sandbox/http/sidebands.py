"""Sidebands: WebSockets of servers that watch and steer a session which a client holds by WebRTC."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress

from flask import request
from simple_websocket import Server  # type: ignore[import-untyped] # it has no stubs
from wsproto.frame_protocol import CloseReason

from service.sandbox.calls.call import Call
from service.sandbox.errors import ApiError
from service.sandbox.http.calls import LIVE_SESSIONS_PATH, find_call
from service.sandbox.http.connection import CLIENT_LEFT, close, receive, send_close, send_ping, send_text
from service.sandbox.http.routes import BASE_PATH
from service.sandbox.http.state import current
from service.sandbox.newest import MAX_BYTES, size_of
from service.vendors import wire

_MAX_QUEUED = 4000
"""Events that a sideband may be behind, within ``MAX_BYTES``: more than a minute of reflected audio."""

ATTACH_PATH = f"{BASE_PATH}{LIVE_SESSIONS_PATH}/<call_id>/attach"
_TRY_AGAIN = 1013
_TOO_SLOW = "this sideband reads too slowly"


def before_request() -> None:
    """Refuse a sideband by HTTP, before it becomes a WebSocket, as the vendor does.

    Raises:
        ApiError: where its key is wrong, its call is not there, or there are too many already.
    """
    if "Sec-WebSocket-Key" not in request.headers:
        return
    if request.url_rule is not None and request.url_rule.rule == ATTACH_PATH:
        # On Azure a Live session, too, is known only once its client is there (observed).
        connected = current().azure is not None
        call = find_call("live", (request.view_args or {})["call_id"], connected=connected)
    elif request.path == BASE_PATH + wire.REALTIME_PATH and "call_id" in request.args:
        call = find_call("realtime", request.args["call_id"], connected=True)
    else:
        return
    if call.sidebands.at_capacity:
        message = "This session has too many sidebands. Close one first."
        raise ApiError(message, code="rate_limit_exceeded", kind="requests", status=429)
    current().sockets.check_room()


def serve(ws: Server, call_id: str, close_code: int = CloseReason.NORMAL_CLOSURE) -> None:
    """Carry events between a sideband and its call until one of them ends."""
    ws.sock.bound(ws.input_buffer)
    try:
        current().sockets.add(ws)
    except ApiError as error:  # others came between the check before the upgrade and now
        close(ws, _TRY_AGAIN, error.close_reason)
        return
    try:
        _attach(ws, call_id, close_code)
    finally:
        current().sockets.discard(ws)


def _attach(ws: Server, call_id: str, close_code: int) -> None:
    call = current().calls.find(call_id)
    sideband = Sideband(ws, current().ping_seconds, close_code)
    if call is None or not call.sidebands.add(sideband.put):
        close(ws, close_code)
        return
    writer = threading.Thread(target=sideband.write, name="sideband", daemon=True)
    writer.start()
    try:
        _read(ws, call, sideband)
    finally:
        call.sidebands.remove(sideband.put)
        sideband.put(None)
        writer.join()
        close(ws, close_code)


def _read(ws: Server, call: Call, sideband: Sideband) -> None:
    while True:
        message = receive(ws)
        if message is not None:
            call.receive(message, sideband.put)


class Sideband:
    """The sending half, in a thread of its own: a call waits for none of its sidebands."""

    def __init__(self, ws: Server, ping_seconds: float, close_code: int) -> None:
        self._ws = ws
        self._ping_seconds = ping_seconds
        self._close_code = close_code
        self._queue: queue.Queue[str | None] = queue.Queue(_MAX_QUEUED)
        self._counting = threading.Lock()
        self._queued_bytes = 0
        self._overflowed = False

    def put(self, message: str | None) -> None:
        """Send an event, or with None: close."""
        self._count(size_of(message))
        if self._overflowed:
            return
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self._overflowed = True

    def _count(self, size: int) -> None:
        with self._counting:
            self._queued_bytes += size
            self._overflowed |= self._queued_bytes > MAX_BYTES

    def write(self) -> None:
        """Send what is put, until the end."""
        try:
            self._write()
        finally:
            self._ws.event.set()  # wakes the reading half, which then finds the socket closed

    def _write(self) -> None:
        next_ping = time.monotonic() + self._ping_seconds
        with suppress(*CLIENT_LEFT):
            while not self._overflowed:
                try:
                    message = self._queue.get(timeout=max(0.0, next_ping - time.monotonic()))
                except queue.Empty:
                    send_ping(self._ws)
                    next_ping += self._ping_seconds
                    continue
                if message is None:
                    break
                send_text(self._ws, message)
                self._count(-size_of(message))
            code, reason = (_TRY_AGAIN, _TOO_SLOW) if self._overflowed else (self._close_code, None)
            send_close(self._ws, code, reason)
