"""Realtime calls, from an aiortc client in a process of its own: sound, events, control, and the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket
from openai import OpenAI

from tests.support.offers import OFFER
from tests.support.processes import wait_until
from tests.support.realtime import KEY, Line, bearing, line, mint
from tests.support.service import Sandbox, running_sandbox
from tests.support.tools import require
from tests.support.webrtc import Clients, listed, open_call, webrtc_clients, write_sentence

_LONG = 'Say: "' + " ".join(["This is a long answer, and it goes on for quite some time."] * 6) + '"'


@pytest.fixture(scope="module")
def sentence(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A spoken sentence as a WAV file, and its length in seconds."""
    require("espeak-ng")
    path = tmp_path_factory.mktemp("speech") / "sentence.wav"
    return path, write_sentence(path, "Hello there, this is a test of the microphone.")


@pytest.fixture
def clients() -> Iterator[Clients]:
    """One client, which has made its offer."""
    with webrtc_clients() as clients:
        yield clients


def _connect(sandbox: Sandbox, clients: Clients, **session: Any) -> str:
    """Open a call, connect, and return the call's id."""
    answer = open_call(sandbox.base_url, clients.offers[0], **session)
    assert answer.status_code == 201, answer.text
    clients.answer(answer.text)
    clients.until("session.created")
    return answer.headers["Location"].rpartition("/")[2]


@contextmanager
def _sideband(sandbox: Sandbox, call_id: str) -> Iterator[Line]:
    with line(sandbox.base_url, f"?call_id={call_id}", **bearing("sk-test")) as sideband:
        yield sideband


def _refused(sandbox: Sandbox, call_id: str) -> tuple[int, str]:
    """Attach where that is refused; return the status and the code."""
    with pytest.raises(websocket.WebSocketBadStatusException) as refused, _sideband(sandbox, call_id):
        pass
    body = refused.value.resp_body or b""
    return refused.value.status_code, "call_id_not_found" if b"call_id_not_found" in body else str(body)


def _hang_up(sandbox: Sandbox, call_id: str) -> requests.Response:
    return requests.post(f"{sandbox.base_url}/realtime/calls/{call_id}/hangup", headers=KEY, timeout=20)


@pytest.mark.alone
def test_an_answer_is_sound_in_real_time_and_its_events_carry_none(
    sandbox: Sandbox, clients: Clients
) -> None:
    """The transcript is on the data channel, the voice on the track, which is silent before and after."""
    _connect(sandbox, clients)
    text = "One two three four five six seven eight nine ten eleven twelve."
    clients.send({"type": "response.create", "response": {"instructions": f'Say: "{text}"'}})
    started = clients.wait("sound", loud=True)["at"]
    response = clients.until("response.done")["response"]
    assert response["output"][0]["content"][0]["transcript"] == text
    stopped = clients.wait("event", where=lambda m: m["event"]["type"] == "output_audio_buffer.stopped")
    spoken_ms = response["usage"]["output_token_details"]["audio_tokens"] * 50
    assert stopped["at"] - started == pytest.approx(spoken_ms / 1000, abs=1.0)
    kinds = [event["type"] for event in clients.events()]
    assert kinds.count("output_audio_buffer.started") == kinds.count("output_audio_buffer.stopped") == 1
    assert "response.output_audio.done" in kinds
    assert not [kind for kind in kinds if kind.endswith("output_audio.delta")]
    before, after = clients.stats(), clients.stats()
    while after["frames"] < before["frames"] + 10:
        after = clients.stats()
    assert after["loud"] == before["loud"]


def test_speech_is_heard_with_its_length(
    sandbox: Sandbox, clients: Clients, sentence: tuple[Path, float]
) -> None:
    """Turn detection finds it, and the transcript tells its seconds."""
    _connect(sandbox, clients, audio={"input": {"transcription": {"model": "gpt-live-transcribe"}}})
    clients.say(sentence[0])
    completed = clients.until("conversation.item.input_audio_transcription.completed")
    seconds = float(completed["transcript"].removeprefix("I spoke to you for ").removesuffix(" seconds."))
    assert seconds == pytest.approx(sentence[1], abs=0.8)
    assert clients.until("response.created")


def assert_silent(clients: Clients, *, since: float) -> None:
    """Expect nothing loud from a moment on, in the next 60 frames of sound (1.2 s)."""
    seen = clients.stats()["frames"]
    while (stats := clients.stats(since=since))["frames"] < seen + 60:
        pass
    assert stats["loud"] == 0


@pytest.mark.alone
def test_speaking_interrupts_at_once(
    sandbox: Sandbox, clients: Clients, sentence: tuple[Path, float]
) -> None:
    """The answer is cancelled, its sound stops, and what was not heard is cut off its item."""
    _connect(sandbox, clients)
    clients.send({"type": "response.create", "response": {"instructions": _LONG}})
    clients.wait("sound", loud=True)
    clients.say(sentence[0])
    clients.until("input_audio_buffer.speech_started")
    done = clients.until("response.done")["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "turn_detected")
    cleared = clients.wait("event", where=lambda m: m["event"]["type"] == "output_audio_buffer.cleared")
    truncated = clients.until("conversation.item.truncated")
    assert truncated["item_id"] == done["output"][0]["id"]
    assert 0 < truncated["audio_end_ms"] < 10_000
    assert_silent(clients, since=cleared["at"] + 0.4)
    assert "output_audio_buffer.stopped" not in [event["type"] for event in clients.events()]


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["response.cancel", "output_audio_buffer.clear"])
def test_a_client_stops_the_sound_at_once(sandbox: Sandbox, clients: Clients, kind: str) -> None:
    """By cancelling the answer, or by clearing the buffer, after which the rest of it stays silent."""
    _connect(sandbox, clients)
    clients.send({"type": "response.create", "response": {"instructions": _LONG}})
    clients.wait("sound", loud=True)
    clients.until("output_audio_buffer.started")
    clients.send({"type": kind})
    cleared = clients.wait("event", where=lambda m: m["event"]["type"] == "output_audio_buffer.cleared")
    if kind == "response.cancel":
        assert clients.until("response.done")["response"]["status"] == "cancelled"
    assert_silent(clients, since=cleared["at"] + 0.4)


def test_cancelling_nothing_is_an_error(sandbox: Sandbox, clients: Clients) -> None:
    """As over a WebSocket; the call goes on."""
    _connect(sandbox, clients)
    clients.send({"type": "response.cancel", "event_id": "mine"})
    error = clients.until("error")["error"]
    assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "mine")
    clients.send("{")
    assert clients.until("error")["error"]["code"] == "invalid_json"


def test_a_negotiated_channel_needs_no_opening(sandbox: Sandbox) -> None:
    """``?dcid=`` names the channel that both sides have agreed on."""
    with webrtc_clients(dcid=7) as clients:
        answer = requests.post(
            f"{sandbox.base_url}/realtime/calls?model=gpt-realtime-2.1&dcid=7",
            data=clients.offers[0],
            headers={**KEY, "Content-Type": "application/sdp"},
            timeout=20,
        )
        clients.answer(answer.text)
        clients.until("session.created")
        clients.send({"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief."}})
        assert clients.until("session.updated")["session"]["instructions"] == "Be brief."


def test_a_translation_comes_back_as_sound(
    sandbox: Sandbox, clients: Clients, sentence: tuple[Path, float]
) -> None:
    """It goes on while the user speaks."""
    secret = mint(
        sandbox.base_url,
        "/realtime/translations/client_secrets",
        session={"model": "gpt-realtime-translate", "audio": {"output": {"language": "de"}}},
    )
    answer = requests.post(
        f"{sandbox.base_url}/realtime/translations/calls",
        data=clients.offers[0],
        headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/sdp"},
        timeout=20,
    )
    clients.answer(answer.text)
    clients.until("session.created")
    clients.say(sentence[0])
    assert clients.until("session.output_transcript.delta")["delta"] == "Guten "
    clients.wait("sound", loud=True)
    clients.send({"type": "session.close"})
    clients.until("session.closed")
    call_id = answer.headers["Location"].rpartition("/")[2]
    wait_until(lambda: listed(sandbox.base_url, call_id)["state"] == "ended", seconds=5, what="the end")
    assert listed(sandbox.base_url, call_id)["ended_by"] == "data_channel"


def test_a_sideband_is_not_found_before_and_after_the_call(sandbox: Sandbox, clients: Clients) -> None:
    """Until the peer is up the vendor knows no such call, and once it is over neither; the key comes first."""
    answer = open_call(sandbox.base_url, clients.offers[0])
    call_id = answer.headers["Location"].rpartition("/")[2]
    assert _refused(sandbox, call_id) == (404, "call_id_not_found")
    clients.answer(answer.text)
    clients.until_open()
    with _sideband(sandbox, call_id):
        pass
    assert _hang_up(sandbox, call_id).status_code == 200
    clients.wait("state", state="closed")
    assert _refused(sandbox, call_id) == (404, "call_id_not_found")
    again = _hang_up(sandbox, call_id)
    assert (again.status_code, again.json()["error"]["code"]) == (404, "call_id_not_found")
    assert _refused(sandbox, "rtc_unknown") == (404, "call_id_not_found")


def test_sidebands_watch_and_steer(sandbox: Sandbox, clients: Clients) -> None:
    """Several at once see everything but audio; what one changes, all are told, and errors go to their cause alone."""
    call_id = _connect(sandbox, clients)
    with _sideband(sandbox, call_id) as first, _sideband(sandbox, call_id) as second:
        for sideband in (first, second):  # an answer shows that it is attached
            sideband.send({"type": "input_audio_buffer.clear"})
            sideband.until("input_audio_buffer.cleared")
        first.send({"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief."}})
        for told in (
            first.until("session.updated"),
            second.until("session.updated"),
            clients.until("session.updated"),
        ):
            assert told["session"]["instructions"] == "Be brief."
        first.send({"type": "nonsense"})
        assert first.until("error")["error"]["code"] == "invalid_value"
        clients.send({"type": "response.create"})
        done = second.until("response.done")
        assert done["response"]["usage"]["output_tokens"] > 0
        assert done["event_id"] == first.until("response.done")["event_id"]
        kinds = {event["type"] for event in second.events}
        assert "session.created" not in kinds
        assert "error" not in kinds
        assert "output_audio_buffer.started" in kinds
        assert not [kind for kind in kinds if kind.endswith("audio.delta")]
        _hang_up(sandbox, call_id)
        first.listen()
        second.listen()
        assert first.closed == second.closed == (1000, "")
        assert listed(sandbox.base_url, call_id)["ended_by"] == "hangup"


def test_the_vendors_python_sdk_joins_a_call(sandbox: Sandbox, clients: Clients) -> None:
    """By ``call_id``, and changes the session of the browser's."""
    call_id = _connect(sandbox, clients)
    with (
        OpenAI(base_url=sandbox.base_url, api_key="sk-test", max_retries=0) as vendor,
        vendor.realtime.connect(call_id=call_id) as sideband,
    ):
        sideband.session.update(session={"type": "realtime", "instructions": "Be kind."})
        assert sideband.recv().type == "session.updated"
        assert clients.until("session.updated")["session"]["instructions"] == "Be kind."
        vendor.realtime.calls.hangup(call_id)
    assert listed(sandbox.base_url, call_id)["ended_by"] == "hangup"


def test_detaching_ends_nothing(sandbox: Sandbox, clients: Clients) -> None:
    """The call goes on, and another sideband may attach."""
    call_id = _connect(sandbox, clients)
    with _sideband(sandbox, call_id):
        pass
    with _sideband(sandbox, call_id) as other:
        for side in (other, clients):  # the first answer shows that it is attached
            side.send({"type": "input_audio_buffer.clear"})
            assert other.until("input_audio_buffer.cleared")
    assert listed(sandbox.base_url, call_id)["state"] == "open"


def test_closing_the_peer_ends_the_call(sandbox: Sandbox, clients: Clients) -> None:
    """At once: a Realtime call is its connection."""
    call_id = _connect(sandbox, clients)
    with _sideband(sandbox, call_id) as watching:
        assert listed(sandbox.base_url, call_id)["connected"]
        clients.close()
        watching.listen()
    call = listed(sandbox.base_url, call_id)
    assert (call["state"], call["ended_by"], call["connected"]) == ("ended", "peer", False)
    assert call["opened_at"] < call["ended_at"]


def test_what_a_secret_opened_is_not_for_servers(sandbox: Sandbox, clients: Clients) -> None:
    """The vendor's control routes answer 404 for it, since September 2026."""
    secret = mint(sandbox.base_url)
    answer = requests.post(
        f"{sandbox.base_url}/realtime/calls",
        data=clients.offers[0],
        headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/sdp"},
        timeout=20,
    )
    clients.answer(answer.text)
    clients.until_open()
    call_id = answer.headers["Location"].rpartition("/")[2]
    assert _refused(sandbox, call_id) == (404, "call_id_not_found")
    assert _hang_up(sandbox, call_id).status_code == 404
    assert listed(sandbox.base_url, call_id)["state"] == "open"


def test_a_call_is_of_its_project(sandbox: Sandbox) -> None:
    """Where both requests name one, they must name the same."""
    form = {"sdp": (None, OFFER), "session": (None, '{"type": "realtime"}')}
    headers = {**KEY, "OpenAI-Project": "proj_one"}
    opened = requests.post(f"{sandbox.base_url}/realtime/calls", files=form, headers=headers, timeout=20)
    path = f"{sandbox.base_url}{opened.headers['Location'].removeprefix('/v1')}/hangup"
    other = requests.post(path, headers={**KEY, "OpenAI-Project": "proj_two"}, timeout=20)
    assert other.status_code == 404
    assert requests.post(path, headers=headers, timeout=20).status_code == 200


def test_a_reset_ends_and_forgets_all_calls(clients: Clients) -> None:
    """The client's connection goes, and the list is empty."""
    with running_sandbox() as sandbox:
        _connect(sandbox, clients)
        open_call(sandbox.base_url, OFFER)
        sandbox.reset()
        clients.wait("state", state="closed")
        answer = requests.get(sandbox.base_url.replace("/v1", "/sandbox/calls"), timeout=20)
        assert answer.json() == {"calls": []}


def test_a_call_over_tls_has_its_sideband(clients: Clients) -> None:
    """Media is encrypted anyhow; the WebSocket is now, too."""
    with running_sandbox("--tls") as sandbox:
        certificate = sandbox.run.output.partition("certificate: ")[2].split()[0]
        answer = requests.post(
            f"{sandbox.base_url}/realtime/calls?model=gpt-realtime-2.1",
            data=clients.offers[0],
            headers={**KEY, "Content-Type": "application/sdp"},
            verify=certificate,
            timeout=20,
        )
        clients.answer(answer.text)
        clients.until_open()
        query = f"?call_id={answer.headers['Location'].rpartition('/')[2]}"
        trust = {"sslopt": {"ca_certs": certificate}}
        with line(sandbox.base_url, query, **trust, **bearing("sk-test")) as watching:
            clients.send({"type": "response.create"})
            watching.until("response.done")


def test_ending_the_sandbox_ends_its_calls(clients: Clients) -> None:
    """A person who presses Ctrl-C leaves no browser talking to nobody."""
    with running_sandbox() as sandbox:
        _connect(sandbox, clients)
        sandbox.run.stop()
        clients.wait("state", state="closed", seconds=10)
        assert "Traceback" not in sandbox.run.output
