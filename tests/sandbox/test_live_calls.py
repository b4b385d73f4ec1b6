"""GPT-Live over its routes: opening, sidebands, the data channel, and every way to end a session."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests
import websocket
from openai import OpenAI

from service.sandbox.audio.pcm import milliseconds
from tests.support.offers import OFFER
from tests.support.processes import (
    PYTHON,
    accepts_connections,
    bare_environ,
    free_port,
    running,
    wait_until,
)
from tests.support.realtime import KEY, Line
from tests.support.service import Sandbox, running_sandbox
from tests.support.webrtc import Clients, listed, open_live, webrtc_clients


@pytest.fixture(scope="module")
def impatient() -> Iterator[Sandbox]:
    """A sandbox that waits one second for a client that has disconnected."""
    with running_sandbox("--connection-lost-seconds", "1") as sandbox:
        yield sandbox


@pytest.fixture
def small() -> Iterator[Sandbox]:
    """A sandbox that holds three WebSockets, with threads for more."""
    port = free_port()
    app = "service.sandbox.app:create_sandbox(max_websockets=3)"
    options = ("--threads", "20", "--bind", f"127.0.0.1:{port}", "--no-control-socket")
    command = (PYTHON, "-m", "gunicorn", "-k", "service.sandbox.worker.SandboxWorker", *options, app)
    with running(command, environ=bare_environ(), ready=lambda _: accepts_connections(port)) as run:
        yield Sandbox(f"http://127.0.0.1:{port}/v1", run)


@pytest.fixture
def clients() -> Iterator[Clients]:
    """One client, which has made its offer."""
    with webrtc_clients() as clients:
        yield clients


def _open(sandbox: Sandbox, offer: str = OFFER, **session: Any) -> str:
    answer = open_live(sandbox.base_url, offer, **session)
    assert answer.status_code == 201, answer.text
    session_id: str = answer.json()["session"]["id"]
    return session_id


def _connect(sandbox: Sandbox, clients: Clients, **session: Any) -> str:
    answer = open_live(sandbox.base_url, clients.offers[0], **session)
    clients.answer(answer.json()["transport"]["sdp"])
    clients.until("session.started")
    session_id: str = answer.json()["session"]["id"]
    return session_id


@contextmanager
def _attach(sandbox: Sandbox, session_id: str, query: str = "", key: str = "sk-test") -> Iterator[Line]:
    url = f"{sandbox.base_url.replace('http', 'ws', 1)}/live/sessions/{session_id}/attach{query}"
    ws = websocket.create_connection(url, header=[f"Authorization: Bearer {key}"], timeout=15)
    try:
        yield Line(ws)
    finally:
        ws.close(timeout=1)
        ws.shutdown()  # type: ignore[no-untyped-call] # it is untyped in an otherwise typed library


def _refused(sandbox: Sandbox, session_id: str, key: str = "sk-test") -> tuple[int, str]:
    with (
        pytest.raises(websocket.WebSocketBadStatusException) as refused,
        _attach(sandbox, session_id, key=key),
    ):
        pass
    error = json.loads(refused.value.resp_body or b"{}")["error"]
    return refused.value.status_code, error["code"]


def _hang_up(sandbox: Sandbox, session_id: str) -> requests.Response:
    return requests.post(f"{sandbox.base_url}/live/sessions/{session_id}/hangup", headers=KEY, timeout=20)


def test_the_answer_is_an_id_and_an_sdp(sandbox: Sandbox) -> None:
    """And nothing else: no location, no expiry, no configuration."""
    answer = open_live(sandbox.base_url, OFFER, instructions="Be brief.", store=False)
    assert answer.status_code == 201
    assert "Location" not in answer.headers
    body = answer.json()
    assert body.keys() == {"session", "transport"}
    assert body["session"].keys() == {"id"}
    assert body["transport"].keys() == {"type", "sdp"}
    assert body["transport"]["sdp"].startswith("v=0\r\n")
    call = listed(sandbox.base_url, body["session"]["id"])
    assert (call["api"], call["model"], call["state"]) == ("live", "gpt-live-1.1", "open")
    assert call["session"] == {"model": "gpt-live-1.1", "instructions": "Be brief.", "store": False}


def test_the_vendors_python_sdk_opens_a_session(sandbox: Sandbox) -> None:
    """By base URL, as an app that moves to another server does."""
    with OpenAI(base_url=sandbox.base_url, api_key="sk-test", max_retries=0) as vendor:
        created = vendor.live.create(
            session={"model": "gpt-live-1.1"}, transport={"type": "webrtc", "sdp": OFFER}
        )
        assert created.session.id.startswith("live_")
        vendor.live.sessions.hangup(created.session.id)
    assert listed(sandbox.base_url, created.session.id)["ended_by"] == "hangup"


def test_the_vendors_python_sdk_watches_and_ends_a_session(sandbox: Sandbox) -> None:
    """By its sideband, to the last event."""
    session_id = _open(sandbox)
    with (
        OpenAI(base_url=sandbox.base_url, api_key="sk-test", max_retries=0) as vendor,
        vendor.live.sideband.connect(session_id=session_id, graceful_close=True) as sideband,
    ):
        assert sideband.recv().type == "session.started"
        sideband.send({"type": "session.close"})
        closed = sideband.recv()
        assert (closed.type, closed.reason) == ("session.closed", "close_requested")


@pytest.mark.parametrize("model", ["fault-401", "fault-429", "fault-500", "fault-truncated"])
def test_openings_fail_as_mints_do(sandbox: Sandbox, model: str) -> None:
    """Every failure of the minting routes is one of these, too."""
    expected = {"fault-401": 401, "fault-429": 429, "fault-500": 500, "fault-truncated": 200}[model]
    assert open_live(sandbox.base_url, OFFER, model).status_code == expected


@pytest.mark.parametrize("path", ["/live/client_secrets", "/live/sessions/client_secrets"])
def test_there_are_no_client_secrets(sandbox: Sandbox, path: str) -> None:
    """Nor does a secret of the other API open a session."""
    assert requests.post(sandbox.base_url + path, json={}, headers=KEY, timeout=20).status_code == 404
    refused = requests.post(
        f"{sandbox.base_url}/live/sessions", json={}, headers={"Authorization": "Bearer ek_x"}, timeout=20
    )
    assert refused.status_code == 401


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ([], "invalid_type", None),
        ({}, "missing_required_parameter", "session"),
        ({"sdp": OFFER}, "missing_required_parameter", "session"),
        (
            {"session": {"model": "gpt-realtime-2.1"}, "transport": {"type": "webrtc", "sdp": OFFER}},
            "invalid_model",
            "session.model",
        ),
        (
            {"session": {"model": "gpt-live-1"}, "transport": {"type": "webrtc", "sdp": OFFER.rstrip()}},
            "invalid_offer",
            "transport.sdp",
        ),
        (
            {"session": {"model": "gpt-live-1"}, "transport": {"type": "webrtc", "sdp": "v=0\r\n"}},
            "invalid_offer",
            "transport.sdp",
        ),
    ],
)
def test_bodies_are_refused_with_the_vendors_codes(
    sandbox: Sandbox, body: Any, code: str, param: str | None
) -> None:
    """Also an offer whose last line end is gone: relays must pass on every byte."""
    answer = requests.post(f"{sandbox.base_url}/live/sessions", json=body, headers=KEY, timeout=20)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)


def test_other_ways_to_post_an_offer_are_refused(sandbox: Sandbox) -> None:
    """Neither raw SDP nor a form."""
    for kind in ("application/sdp", "multipart/form-data; boundary=x"):
        headers = {**KEY, "Content-Type": kind}
        answer = requests.post(f"{sandbox.base_url}/live/sessions", data=OFFER, headers=headers, timeout=20)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_a_sideband_attaches_before_the_client_connects(sandbox: Sandbox) -> None:
    """It is told at once that the session has started, reads it by an empty update, and ends it."""
    session_id = _open(sandbox)
    with _attach(sandbox, session_id, "?graceful_close=true") as sideband:
        assert sideband.until("session.started")["session"]["id"] == session_id
        sideband.send({"type": "session.update", "session": {}, "event_id": "read"})
        assert sideband.until("session.updated")["client_event_id"] == "read"
        sideband.send({"type": "session.close", "event_id": "bye"})
        closed = sideband.until("session.closed")
        assert (closed["reason"], closed["usage"]) == ("close_requested", {"seconds": 15})
        sideband.listen()
        assert sideband.closed == (1000, "")
    call = listed(sandbox.base_url, session_id)
    assert (call["state"], call["ended_by"], call["connected"]) == ("ended", "sideband", False)
    assert _refused(sandbox, session_id) == (404, "session_id_not_found")
    assert _hang_up(sandbox, session_id).json()["error"]["code"] == "session_id_not_found"


def test_without_graceful_close_the_end_has_no_status(sandbox: Sandbox) -> None:
    """Which clients see as 1005 (RFC 6455 §7.1.5)."""
    session_id = _open(sandbox)
    with _attach(sandbox, session_id) as sideband:
        sideband.until("session.started")
        assert _hang_up(sandbox, session_id).status_code == 200
        sideband.listen()
        assert sideband.events[-1]["type"] == "session.closed"
        assert sideband.closed == (0, "")  # an empty close frame


def test_the_key_and_the_project_are_asked_first(sandbox: Sandbox) -> None:
    """By HTTP, before there is a WebSocket."""
    session_id = _open(sandbox)
    assert _refused(sandbox, session_id, key="sk-invalid") == (401, "invalid_api_key")
    assert _refused(sandbox, "live_unknown") == (404, "session_id_not_found")
    assert _refused(sandbox, "rtc_unknown") == (404, "session_id_not_found")


def test_several_sidebands_hear_both_voices_and_the_last_seconds_again(
    sandbox: Sandbox, clients: Clients
) -> None:
    """Reflected audio is PCM in both directions; what is repeated has the same ids."""
    session_id = _connect(sandbox, clients, delegation={"type": "client"})
    with _attach(sandbox, session_id) as first:
        first.send(
            {"type": "session.commentary.append", "content": "It is sunny today.", "delegation_id": None}
        )
        transcript = first.until("session.output_transcript.delta")
        clients.until("session.output_transcript.delta")
        with _attach(sandbox, session_id) as second:
            assert second.until("session.started")["event_id"] == first.events[0]["event_id"]
            assert second.until("session.output_transcript.delta")["event_id"] == transcript["event_id"]
            heard = second.until("session.input_audio.append")
            said = second.until("session.output_audio.delta")
        assert "event_id" not in heard
        assert milliseconds(base64.b64decode(heard["audio"])) == pytest.approx(20, abs=20)
        assert milliseconds(base64.b64decode(said["delta"])) == 100
        assert said["end_ms"] - said["start_ms"] == 100
    assert listed(sandbox.base_url, session_id)["state"] == "open"
    assert not [event for event in clients.events() if "_audio." in event["type"]]


def test_a_locked_channel_is_held_and_told(sandbox: Sandbox, clients: Clients) -> None:
    """What our service allows, and nothing else; closing is allowed."""
    allowed = ["session.input_audio.mute", "session.input_audio.unmute", "session.close"]
    session_id = _connect(sandbox, clients, client={"data_channel": {"allowed_client_events": allowed}})
    assert clients.until("info")["code"] == "data_channel_permissions"
    clients.send({"type": "session.update", "session": {}, "event_id": "mine"})
    error = clients.until("error")
    assert (error["error"]["code"], error["client_event_id"]) == ("event_not_allowed", "mine")
    clients.send({"type": "session.input_audio.mute"})
    clients.until("session.input_audio.muted")
    clients.send({"type": "session.close"})
    assert clients.until("session.closed")["reason"] == "close_requested"
    clients.wait("state", state="closed")
    assert listed(sandbox.base_url, session_id)["ended_by"] == "data_channel"


def test_a_client_that_is_gone_is_waited_for(impatient: Sandbox, clients: Clients) -> None:
    """The session then ends as lost; meanwhile it is open, and not connected."""
    session_id = _connect(impatient, clients)
    assert listed(impatient.base_url, session_id)["connected"]
    with _attach(impatient, session_id, "?graceful_close=true") as sideband:
        clients.close()
        closed = sideband.until("session.closed")
    assert closed["reason"] == "connection_lost"
    call = listed(impatient.base_url, session_id)
    assert (call["ended_by"], call["connected"]) == ("peer", False)
    assert call["ended_at"] - call["opened_at"] > 1


@pytest.mark.parametrize("reason", ["content", "remote_hangup", "expired", "connection_lost"])
def test_any_reason_can_be_brought_about(sandbox: Sandbox, reason: str) -> None:
    """By the sandbox's own control, so that an app's handling of it can be tried."""
    session_id = _open(sandbox)
    control = f"{sandbox.base_url.replace('/v1', '/sandbox')}/calls/{session_id}/end"
    with _attach(sandbox, session_id) as sideband:
        assert requests.post(control, json={"reason": "boredom"}, timeout=20).status_code == 400
        assert requests.post(control, json={"reason": reason}, timeout=20).status_code == 204
        assert sideband.until("session.closed")["reason"] == reason
    assert requests.post(control, json={"reason": reason}, timeout=20).status_code == 404


def test_a_session_that_is_lost_is_open_all_the_same(sandbox: Sandbox) -> None:
    """It bills, and nobody has its id."""
    with pytest.raises(requests.ConnectionError):
        open_live(sandbox.base_url, OFFER, "fault-lost")
    without_id = open_live(sandbox.base_url, OFFER, "fault-no-location").json()
    assert without_id["session"] == {}
    calls = requests.get(sandbox.base_url.replace("/v1", "/sandbox/calls"), timeout=20).json()["calls"]
    assert [(call["model"], call["state"]) for call in calls[-2:]] == [
        ("fault-lost", "open"),
        ("fault-no-location", "open"),
    ]


@pytest.mark.parametrize(("model", "status"), [("fault-hangup-500", 500), ("fault-hangup-404", 404)])
def test_an_attach_counts_among_the_endings_that_fail(sandbox: Sandbox, model: str, status: int) -> None:
    """Three of either fail, and the fourth works."""
    session_id = _open(sandbox, model=model)
    assert _refused(sandbox, session_id)[0] == status
    assert _hang_up(sandbox, session_id).status_code == status
    assert _refused(sandbox, session_id)[0] == status
    with _attach(sandbox, session_id, "?graceful_close=true") as sideband:
        sideband.until("session.started")
        sideband.send({"type": "session.close"})
        sideband.until("session.closed")


def test_a_session_that_nobody_connects_to_stays_open(sandbox: Sandbox) -> None:
    """However many there are: the oldest ones give up their sockets, and stay open all the same."""
    ids = [_open(sandbox) for _ in range(3)]
    assert [listed(sandbox.base_url, session_id)["state"] for session_id in ids] == ["open"] * 3
    for session_id in ids:
        assert _hang_up(sandbox, session_id).status_code == 200


def test_sidebands_are_bounded_in_number_and_a_session_without_one_can_be_ended(small: Sandbox) -> None:
    """One more is refused before it is a WebSocket: each has a thread, and without any left nothing is answered."""
    first, second = _open(small), _open(small)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(_attach(small, first)).until("session.started")
        assert _refused(small, second) == (429, "rate_limit_exceeded")
        assert _refused(small, "live_unknown") == (404, "session_id_not_found")
        assert _hang_up(small, second).status_code == 200
        assert listed(small.base_url, second)["ended_by"] == "hangup"

    def is_admitted() -> bool:
        try:
            with _attach(small, first) as sideband:
                return sideband.until("session.started") is not None
        except websocket.WebSocketBadStatusException:
            return False

    wait_until(is_admitted, seconds=5, what="a place")


def test_of_many_sidebands_at_once_only_as_many_attach_as_there_is_room_for(small: Sandbox) -> None:
    """Those that passed the check before the upgrade together are counted once more after it."""
    session_id, started, closed = _open(small), threading.Barrier(13), threading.Event()
    held: list[bool] = []

    def attach() -> None:
        try:
            with _attach(small, session_id) as sideband:
                sideband.listen(lambda _: True)
                held.append(bool(sideband.events))
                started.wait(20)
                closed.wait(20)
        except websocket.WebSocketBadStatusException:
            held.append(False)
            started.wait(20)

    threads = [threading.Thread(target=attach) for _ in range(12)]
    for thread in threads:
        thread.start()
    started.wait(20)
    closed.set()
    for thread in threads:
        thread.join()
    assert held.count(True) == 3
