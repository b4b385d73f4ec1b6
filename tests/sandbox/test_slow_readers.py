"""A client that does not read: what it sends is bounded, and what it is sent."""

from __future__ import annotations

import json
import threading

import pytest
import websocket

from service.sandbox.app import create_sandbox
from service.sandbox.http.state import state_of
from tests.support.memory import traced_memory
from tests.support.offers import OFFER
from tests.support.processes import wait_until
from tests.support.realtime import KEY
from tests.support.served import Served

_CONVERSATION = "/v1/realtime?model=gpt-realtime-2.1"
_MEGABYTE = 1024 * 1024
_STILL_SECONDS = 0.5
"""A sandbox that reads nothing for so long has stopped; one that only pauses passes, and no other fails."""


def test_a_session_that_cannot_send_reads_only_so_much_and_then_loses_none_of_it() -> None:
    """Its client's messages wait on the client's side of the network until the client reads."""
    served, may_send = Served(create_sandbox(), _CONVERSATION), threading.Event()
    served.server.before_text = lambda: may_send.wait(30)

    def flood() -> None:
        for _ in range(48):
            served.client.send({"type": "nonsense", "padding": "x" * _MEGABYTE})

    with served.serving():
        sender, read = threading.Thread(target=flood), -1
        sender.start()
        while sender.is_alive() and read < served.server.received:
            read = served.server.received
            sender.join(_STILL_SECONDS)
        assert served.server.received < 16 * _MEGABYTE
        may_send.set()
        for _ in range(48):
            assert served.client.until("error")["error"]["code"]
        sender.join()


def test_what_comes_after_the_end_of_a_session_is_dropped_at_once() -> None:
    """The sandbox still reads, since the client's Close frame comes last."""
    served, large = Served(create_sandbox(), "/v1/realtime?model=none"), "x" * _MEGABYTE
    client = served.client.ws
    with served.serving(), traced_memory() as memory:
        opcodes = [client.recv_frame().opcode, client.recv_frame().opcode]
        assert opcodes == [websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_CLOSE]
        for _ in range(24):  # within the 5 s that the sandbox reads on, on a slow machine too
            client.send(large)
        client.send_close()
        assert served.rest() == b""
    assert memory.most < 16 * _MEGABYTE


@pytest.mark.parametrize(("character", "events"), [("x", 40), ("\N{GRINNING FACE}", 12)])
def test_a_sideband_that_is_too_far_behind_is_closed(character: str, events: int) -> None:
    """What it has not read yet takes 32 MB at most, also where a character takes four bytes."""
    app, may_send = create_sandbox(), threading.Event()
    session = {"session": {"model": "gpt-live-1.1"}, "transport": {"type": "webrtc", "sdp": OFFER}}
    opened = app.test_client().post("/v1/live/sessions", json=session, headers=KEY)
    assert opened.json
    call = state_of(app).calls.find(opened.json["session"]["id"])
    assert call
    served = Served(app, f"/v1/live/sessions/{call.opened.id}/attach?graceful_close=true")
    served.server.before_text = lambda: may_send.wait(30)
    with served.serving():
        wait_until(lambda: len(call.sidebands), seconds=10, what="the sideband")
        for _ in range(events):
            told = {"type": "told", "padding": character * _MEGABYTE}
            call.sidebands.tell(json.dumps(told, ensure_ascii=False), again=False)
        may_send.set()
        call.end("reset")
        served.client.listen()
    assert served.client.closed == (1013, "this sideband reads too slowly")
