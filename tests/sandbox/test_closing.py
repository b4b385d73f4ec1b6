"""Both ends of a WebSocket close at once, in an order that the test decides: each Close frame arrives all the same."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from flask import Flask

from service.sandbox.app import create_sandbox
from service.sandbox.http.connection import SharedConnection
from service.sandbox.http.websockets import close_all
from tests.support.offers import OFFER
from tests.support.realtime import KEY
from tests.support.served import PING_FRAME, TEXT_FRAME, Served

_NOT_CLOSED_SECONDS = 0.5
"""How long a sandbox that closes too early has to do so; a slower one passes here, and no other fails."""
_TRANSLATION = "/v1/realtime/translations?model=gpt-realtime-translate"
_CONVERSATION = "/v1/realtime?model=gpt-realtime-2.1"


def _end_translation(served: Served, _app: Flask) -> None:
    served.client.send({"type": "session.close"})


def _end_sandbox(served: Served, app: Flask) -> None:
    served.client.until("session.created")
    close_all(app)


@pytest.mark.parametrize(
    ("path", "end", "closed"),
    [
        pytest.param(_TRANSLATION, _end_translation, (1000, ""), id="a translation that ends"),
        pytest.param(
            "/v1/realtime?model=none",
            lambda *_: None,
            (4000, "invalid_request_error.invalid_model"),
            id="a refusal",
        ),
        pytest.param(_CONVERSATION, _end_sandbox, (1001, "the sandbox ends"), id="a sandbox that ends"),
    ],
)
def test_a_close_frame_is_sent_though_the_clients_crosses_it(
    path: str, end: Callable[[Served, Flask], None], closed: tuple[int, str]
) -> None:
    """The client's arrives while ours is made but not sent: a connection closed on it would be 1006 to the client."""
    app = create_sandbox()
    served = Served(app, path)

    def cross() -> None:
        served.client.ws.send_close()
        served.server.is_shut_down.wait(_NOT_CLOSED_SECONDS)

    served.server.before_close = cross
    with served.serving():
        end(served, app)
        served.client.listen()
    assert served.client.closed == closed


def test_a_close_frame_is_confirmed_before_the_connection_is_left_to_gunicorn() -> None:
    """The client closes first: simple-websocket's reader confirms that, while the session ends in another thread."""
    served = Served(create_sandbox(), _CONVERSATION)
    ended_too_early: list[bool] = []
    served.server.before_close = lambda: ended_too_early.append(served.has_ended.wait(_NOT_CLOSED_SECONDS))
    with served.serving():
        served.client.until("session.created")
        served.client.ws.send_close(1000, b"done")
        served.client.listen()
    assert ended_too_early == [False]
    assert served.client.closed == (1000, "done")


def _conversation(_app: Flask) -> str:
    return _CONVERSATION


def _sideband(app: Flask) -> str:
    """Open a Live session, which greets its sidebands, and return where they attach."""
    session = {"session": {"model": "gpt-live-1.1"}, "transport": {"type": "webrtc", "sdp": OFFER}}
    answer = app.test_client().post("/v1/live/sessions", json=session, headers=KEY)
    assert answer.json
    return f"/v1/live/sessions/{answer.json['session']['id']}/attach"


@pytest.mark.parametrize("path", [_conversation, _sideband])
@pytest.mark.parametrize("frame", [TEXT_FRAME, PING_FRAME], ids=["an event", "a ping"])
def test_nothing_follows_the_answer_to_a_close_frame(
    path: Callable[[Flask], str], frame: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client closes when a frame is made but not sent: Chromium reports 1006 if it comes after the Close frame."""
    app = create_sandbox(ping_seconds=0.1 if frame == PING_FRAME else 20)
    served, send, closing = Served(app, path(app)), SharedConnection.send, threading.Event()

    def close_before(connection: SharedConnection, data: bytes) -> None:
        if data[0] == frame and not closing.is_set():
            closing.set()
            served.client.ws.send_close(1000, b"done")
            served.server.has_sent_close.wait(_NOT_CLOSED_SECONDS)
        send(connection, data)

    monkeypatch.setattr(SharedConnection, "send", close_before)
    with served.serving():
        served.client.listen()
        assert served.client.closed == (1000, "done")
        assert served.rest() == b""
    close_all(app)
