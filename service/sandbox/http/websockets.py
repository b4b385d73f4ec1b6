"""WebSockets: refused with an ``error`` event, or pumped between the socket and its session."""

from __future__ import annotations

import time
from contextlib import suppress

from flask import Flask, current_app, request
from flask_sock import Sock
from simple_websocket import Server  # type: ignore[import-untyped] # it has no stubs
from wsproto.frame_protocol import CloseReason

from service.sandbox.azure import check_account, socket_credential
from service.sandbox.credentials import check_key
from service.sandbox.errors import ApiError
from service.sandbox.http import sidebands
from service.sandbox.http.connection import CLIENT_LEFT, close, receive, send, send_close, send_ping
from service.sandbox.http.routes import BASE_PATH
from service.sandbox.http.state import NOTICE, State, current, state_of
from service.sandbox.ids import new_id
from service.sandbox.opening import Admission, ConnectRequest, close_code
from service.sandbox.sessions.base import Session
from service.vendors import wire

OPTIONS = {"subprotocols": [wire.SUBPROTOCOL], "max_message_size": 24 * 1024 * 1024}
"""The vendor takes 15 MiB of audio in one event, which is 20 MiB of base64."""

_NORMAL, _GOING_AWAY = 1000, 1001

sock = Sock()


@sock.route(BASE_PATH + wire.REALTIME_PATH)  # type: ignore[untyped-decorator] # nor has flask-sock
def realtime(ws: Server) -> None:
    """Serve a conversation or a transcription, or the sideband of a call."""
    if "call_id" in request.args:
        sidebands.serve(ws, request.args["call_id"])
    else:
        _serve(ws, translation=False)


@sock.route(BASE_PATH + wire.TRANSLATIONS_PATH)  # type: ignore[untyped-decorator]
def translations(ws: Server) -> None:
    """Serve a translation."""
    _serve(ws, translation=True)


@sock.route(sidebands.ATTACH_PATH)  # type: ignore[untyped-decorator]
def attach(ws: Server, call_id: str) -> None:
    """Serve the sideband of a Live session."""
    graceful = request.args.get("graceful_close", "").lower() in {"true", "1"}
    sidebands.serve(ws, call_id, CloseReason.NORMAL_CLOSURE if graceful else CloseReason.NO_STATUS_RCVD)


def before_request() -> None:
    """On Azure, refuse what cannot open a session by HTTP, before it becomes a WebSocket (documented).

    Raises:
        ApiError: 401, a key or token is missing or wrong; 404, there is no such deployment.
    """
    if current().azure and "Sec-WebSocket-Key" in request.headers:
        _connect_request(translation=False)


def close_all(app: Flask) -> None:
    """Close all WebSockets and calls of a sandbox that is about to end."""
    for ws in tuple(state_of(app).sockets):
        send_close(ws, _GOING_AWAY, "the sandbox ends")
        ws.event.set()  # wakes the pump, which then finds the socket closed
    state_of(app).calls.close()


def _serve(ws: Server, *, translation: bool) -> None:
    state = current()
    ws.sock.bound(ws.input_buffer)
    try:
        try:
            state.sockets.add(ws)  # first, so that a refusal uses up no secret
            session = _admit(state, translation=translation)
        except ApiError as error:
            _refuse(ws, error)
            return
        current_app.logger.info("%s opens. %s", request.path, NOTICE)
        with suppress(*CLIENT_LEFT):
            _pump(ws, session, state.ping_seconds)
        close(ws, _NORMAL, "")
    finally:
        ws.sock.finish()
        state.sockets.discard(ws)


def _refuse(ws: Server, error: ApiError) -> None:
    body = {**error.body, "event_id": None}
    with suppress(*CLIENT_LEFT):
        send(ws, [{"type": "error", "event_id": new_id("event"), "error": body}])
    close(ws, close_code(error), error.close_reason)


def _admit(state: State, *, translation: bool) -> Session:
    check = (lambda key: check_account(key, "")) if state.azure else check_key
    admission = Admission(state.secrets, state.beta, time.time, time.monotonic, new_id, check)
    return admission.admit(_connect_request(translation=translation))


def _connect_request(*, translation: bool) -> ConnectRequest:
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    subprotocols = tuple(name.strip() for name in offered.split(","))
    query, authorization = dict(request.args), request.headers.get(wire.AUTHORIZATION_HEADER)
    azure = current().azure
    if azure:
        authorization = f"Bearer {socket_credential(request.headers, request.args)}"
        deployment = query.get("model") or query.get("deployment")  # the latter by the SDKs' Azure clients
        if deployment:
            query["model"] = azure.model_of(deployment)
    return ConnectRequest(
        translation=translation,
        query=query,
        authorization=authorization,
        subprotocols=subprotocols,
        beta_header=request.headers.get(wire.BETA_HEADER),
    )


def _pump(ws: Server, session: Session, ping_seconds: float) -> None:
    """Carry messages both ways until the session ends; raises one of CLIENT_LEFT once the client has left."""
    next_ping = time.monotonic() + ping_seconds
    send(ws, session.open())
    while not session.ended:
        until_ping = next_ping - time.monotonic()
        if until_ping <= 0:
            send_ping(ws)
            next_ping += ping_seconds
            continue
        due_in = session.due_in()
        message = receive(ws, until_ping if due_in is None else min(due_in, until_ping))
        if message is not None:
            send(ws, session.receive(message))
        send(ws, session.advance())
