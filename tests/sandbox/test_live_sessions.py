"""GPT-Live sessions as state machines: what they hear, say, delegate, count and refuse, by the vendor's types."""

from __future__ import annotations

import base64
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from openai.types.live import ConnectServerEvent
from pydantic import TypeAdapter

from service.sandbox.errors import ApiError
from service.sandbox.live.checks import check_opening
from service.sandbox.live.config import SESSION_SECONDS
from service.sandbox.live.events import SERVER_EVENTS
from tests.support.media_session import MediaClient, live_client
from tests.support.sandbox_session import SILENCE, Event, error_of, kinds, one, speak

_EVENT: TypeAdapter[Any] = TypeAdapter(ConnectServerEvent)
_WORK = {"delegation": {"type": "client"}}
_SHORT, _LONG = speak(0.8) + SILENCE, speak(2.5) + SILENCE


def _delta(events: list[Event], kind: str) -> str:
    return "".join(event["delta"] for event in events if event["type"] == f"session.{kind}_transcript.delta")


def _lock(*events: str, server: list[Event] | str = "all") -> dict[str, Any]:
    return {
        "client": {"data_channel": {"allowed_client_events": list(events), "allowed_server_events": server}}
    }


def test_a_session_starts_with_its_whole_configuration() -> None:
    """Defaults filled in, the posted members as they came."""
    client = live_client(instructions="  ", safety_identifier="user-1", connected=False)
    session = one(client.received, "session.started")["session"]
    assert (session["id"], session["status"], session["expires_at"]) == ("live_1", "active", 9_000)
    assert session["audio"]["output"]["voice"] == "marin"
    assert session["delegation"] == {"type": "client", "acknowledgement_delay_ms": 0}
    assert (session["store"], session["safety_identifier"]) == (False, "user-1")
    assert session["instructions"].strip()
    assert "client" not in session


def test_a_turn_is_written_down_and_answered_by_voice() -> None:
    """The transcript tells its length; the answer's runs ahead of the sound by half a second at most."""
    client = live_client()
    told = client.speak(_SHORT) + client.listen(0.2)
    assert _delta(told, "input") == "I spoke to you for 0.8 seconds."
    heard = [event for event in client.received if event["type"] == "session.input_transcript.delta"]
    assert heard[0]["start_ms"] < heard[-1]["end_ms"] <= 1_800
    client.listen(20)
    assert _delta(client.received, "output").startswith("I heard you. You said:")
    assert len(client.speaker.sound) > 48_000
    assert client.speaker.finished


def test_the_transcript_keeps_pace_with_the_voice() -> None:
    """No word is told long before it is heard, and each begins where the one before it ended."""
    client = live_client(**_WORK)
    client.send("session.commentary.append", content="word " * 100, delegation_id=None)
    start = client.clock.now
    for _ in range(100):
        for event in client.listen(0.1):
            if event["type"] == "session.output_transcript.delta":
                assert event["start_ms"] <= (client.clock.now - 1000.0) * 1000 + 600
    spoken = [event for event in client.received if event["type"] == "session.output_transcript.delta"]
    assert all(before["end_ms"] == after["start_ms"] for before, after in pairwise(spoken))
    assert client.clock.now - start == pytest.approx(10)
    assert 20 < len(spoken) < 60


def test_speaking_stops_the_voice_at_once() -> None:
    """What waits is said after the user's turn."""
    client = live_client()
    client.speak(_SHORT)
    client.listen(1)
    assert client.speaker.sounding
    client.speak(speak(0.2))
    assert not client.speaker.sounding
    assert client.speaker.cleared == 1


def test_a_long_turn_asks_for_work_where_the_session_names_client_delegation() -> None:
    """The voice acknowledges it, and says what the application appends."""
    client = live_client(**_WORK)
    told = client.speak(_LONG) + client.listen(5)
    delegation = one(told, "session.delegation.created")["delegation"]
    assert (delegation["type"], delegation["target"]) == ("delegation", "client")
    assert _delta(told, "output") == "Let me look into that."
    told = client.send(
        "session.thinking.append", content="It is sunny.", delegation_id=delegation["id"], event_id="mine"
    )
    assert one(told, "session.thinking.appended")["client_event_id"] == "mine"
    assert _delta(client.listen(5), "output") == "It is sunny."


@pytest.mark.parametrize("config", [{}, {"delegation": None}])
def test_nothing_is_delegated_where_the_session_does_not_say_who_works(config: dict[str, Any]) -> None:
    """Nor for a short turn where it does."""
    client = live_client(**config)
    assert "session.delegation.created" not in kinds(client.speak(_LONG) + client.listen(5))
    client = live_client(**_WORK)
    assert "session.delegation.created" not in kinds(client.speak(_SHORT) + client.listen(5))


def test_an_early_result_makes_the_acknowledgement_unnecessary() -> None:
    """The delay is the session's."""
    client = live_client(delegation={"type": "client", "acknowledgement_delay_ms": 2000})
    client.speak(_LONG)
    client.listen(1)
    client.send("session.commentary.append", content="Done.", delegation_id=None)
    assert _delta(client.listen(10), "output") == "Done."


def test_instructions_are_taken_in_silence() -> None:
    """They are no request to speak."""
    client = live_client()
    told = client.send("session.instructions.append", content="Be kind.", delegation_id=None)
    assert kinds(told) == ["session.instructions.appended"]
    assert client.listen(5) == []


def test_a_muted_microphone_is_not_heard() -> None:
    """Until it is unmuted."""
    client = live_client()
    assert kinds(client.send("session.input_audio.mute", event_id="m")) == ["session.input_audio.muted"]
    assert client.speak(_LONG) == []
    assert kinds(client.send("session.input_audio.unmute")) == ["session.input_audio.unmuted"]
    assert _delta(client.speak(_SHORT) + client.listen(0.5), "input")


def test_a_fixture_is_played_and_told() -> None:
    """By a server alone; meanwhile nobody is heard and nothing can be appended."""
    client = live_client()
    audio = base64.b64encode(speak(1)).decode()
    assert error_of(client.send("session.output_audio.fixture.play", audio=audio))["code"] == (
        "event_not_allowed"
    )
    told = client.send("session.output_audio.fixture.play", "sideband", audio=audio, event_id="f")
    assert one(told, "session.output_audio.fixture.playing")["client_event_id"] == "f"
    assert error_of(client.send("session.thinking.append", content="x", delegation_id=None))
    assert client.speak(_SHORT) == []
    played = client.keep(client.session.playback("stopped"))
    assert one(played, "session.output_audio.fixture.played")["client_event_id"] == "f"
    long = base64.b64encode(bytes(48 * 31_000)).decode()
    assert (
        error_of(client.send("session.output_audio.fixture.play", "sideband", audio=long))["param"] == "audio"
    )


def test_usage_is_told_every_fifteen_seconds_and_at_the_end() -> None:
    """Cumulative, and never under the 15 s that the creation has paid for."""
    client = live_client()
    told = [
        event["usage"]["seconds"] for event in client.listen(50) if event["type"].endswith("usage.updated")
    ]
    assert told == [15, 30, 45]
    client.send("session.close")
    assert one(client.listen(1), "session.closed")["usage"] == {"seconds": 50}
    unconnected = live_client(connected=False)
    unconnected.listen(100)
    unconnected.send("session.close", "sideband")
    assert one(unconnected.listen(1), "session.closed")["usage"] == {"seconds": 15}


def test_an_idle_session_pauses_until_somebody_speaks() -> None:
    """Where it is told to; the usage tells both parts."""
    client = live_client(idle_timeout_s=10, wake_policy={"type": "speech"})
    assert kinds(client.listen(12)) == ["session.paused"]
    client.listen(18)
    assert "session.resumed" in kinds(client.speak(_SHORT))
    client.send("session.close")
    usage = one(client.listen(1), "session.closed")["usage"]
    assert usage["paused_seconds"] == 20
    assert usage["active_seconds"] + usage["paused_seconds"] == usage["seconds"]


def test_a_session_that_nothing_could_wake_is_accepted_and_never_pauses() -> None:
    """The vendor's types say that a pause needs both members; nothing says that one alone is refused."""
    check_opening({**_BODY, "session": {**_BODY["session"], "idle_timeout_s": 10}})
    client = live_client(idle_timeout_s=10)
    assert set(kinds(client.listen(30))) == {"session.usage.updated"}
    client.send("session.close")
    assert "paused_seconds" not in one(client.listen(1), "session.closed")["usage"]


def test_a_restricted_channel_is_told_and_held() -> None:
    """What is forbidden has no effect; servers are not restricted."""
    client = live_client(**_lock("session.close"))
    assert one(client.received, "info")["code"] == "data_channel_permissions"
    error = error_of(client.send("session.input_audio.mute", event_id="mine"))
    assert (error["code"], error["client_event_id"]) == ("event_not_allowed", "mine")
    assert _delta(client.speak(_SHORT) + client.listen(0.5), "input")
    assert kinds(client.send("session.input_audio.mute", "sideband")) == ["session.input_audio.muted"]


def test_a_channel_carries_only_the_server_events_that_it_may() -> None:
    """Audio never: it has its tracks."""
    client = live_client(**_lock(server=[{"type": "session.closed"}]))
    allowed = {kind for kind in SERVER_EVENTS if client.session.on_data_channel(kind)}
    assert allowed == {"session.closed"}
    free = {kind for kind in SERVER_EVENTS if live_client().session.on_data_channel(kind)}
    assert free == SERVER_EVENTS - {"session.input_audio.append", "session.output_audio.delta"}
    assert not live_client(**_lock(server=[])).session.on_data_channel("error")


def test_delegation_settings_change_and_nothing_else() -> None:
    """An empty update reads the session."""
    client = live_client(**_WORK)
    assert one(client.send("session.update", session={}), "session.updated")["session"]["id"] == "live_1"
    change = {"delegation": {"type": "client", "acknowledgement_delay_ms": 700}}
    told = one(client.send("session.update", session=change), "session.updated")
    assert told["session"]["delegation"]["acknowledgement_delay_ms"] == 700
    for member in ("model", "instructions", "input", "audio", "client", "store", "safety_identifier"):
        error = error_of(client.send("session.update", session={member: None}))
        assert (error["code"], error["param"]) == ("invalid_value", f"session.{member}")
    assert error_of(client.send("session.update", session={"colour": 1}))["code"] == "unknown_parameter"
    error = error_of(client.send("session.update", session={"delegation": {"type": "responses"}}))
    assert "no backend model" in error["message"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "response.create"}, "invalid_value"),
        ({"type": "transport.dtmf.send", "event": "1"}, "invalid_value"),
        ({"type": "nonsense"}, "invalid_value"),
        ({"type": 7}, "invalid_value"),
        ({}, "missing_required_parameter"),
        ({"type": "session.thinking.append", "content": "x"}, "missing_required_parameter"),
        ({"type": "session.thinking.append", "content": "x", "delegation_id": "dlg_no"}, "invalid_value"),
        ({"type": "session.thinking.append", "content": 2100 * "x", "delegation_id": None}, "invalid_value"),
        ({"type": "session.close", "reason": "bored"}, "unknown_parameter"),
    ],
)
def test_a_bad_event_is_an_error_and_changes_nothing(message: Event, code: str) -> None:
    """Each with a code, and the session goes on."""
    client = live_client()
    kind = message.pop("type", None)
    told = client.session.receive("{}", "data_channel") if kind is None else client.send(kind, **message)
    assert error_of(told)["code"] == code
    assert kinds(client.send("session.update", session={})) == ["session.updated"]


def _by_command(client: MediaClient) -> None:
    client.send("session.close", event_id="bye")


def _by_hangup(client: MediaClient) -> None:
    client.keep(client.session.end("hangup"))


def _by_leaving(client: MediaClient) -> None:
    client.keep(client.session.disconnected())
    assert "session.closed" not in kinds(client.listen(29))


def _by_staying(client: MediaClient) -> None:
    client.listen(SESSION_SECONDS - 1)


@pytest.mark.parametrize(
    ("end", "reason", "by"),
    [
        (_by_command, "close_requested", "data_channel"),
        (_by_hangup, "close_requested", "hangup"),
        (_by_leaving, "connection_lost", "peer"),
        (_by_staying, "expired", "expired"),
    ],
)
def test_every_end_says_why(end: Callable[[MediaClient], None], reason: str, by: str) -> None:
    """In the last event, with the configuration and the usage."""
    client = live_client()
    end(client)
    closed = one(client.listen(2), "session.closed")
    assert closed["reason"] == reason
    assert closed["session"]["status"] == "active"
    assert (client.session.ended, client.session.ended_by) == (True, by)


@pytest.mark.parametrize("reason", ["content", "remote_hangup"])
def test_the_other_reasons_can_be_brought_about(reason: Any) -> None:
    """By the sandbox's own control: no offline client can cause them."""
    client = live_client()
    client.keep(client.session.end("reset", reason))
    assert one(client.listen(1), "session.closed")["reason"] == reason


def test_closing_refuses_more_and_tells_what_was_not_spoken() -> None:
    """The voice stops at once."""
    client = live_client()
    for number in range(3):
        client.send(
            "session.commentary.append", content="word " * 20, delegation_id=None, event_id=f"c{number}"
        )
    client.listen(1)
    told = client.send("session.close")
    assert [event["error"]["code"] for event in told] == ["context_injection_incomplete"] * 2
    assert [event["client_event_id"] for event in told] == ["c1", "c2"]
    assert not client.speaker.sounding
    assert error_of(client.send("session.input_audio.mute"))["code"] == "session_closing"
    assert "session.closed" in kinds(client.listen(1))


def _walks() -> list[Event]:
    """Everything that a session can say."""
    talking = live_client(
        **_WORK, **_lock("session.close"), idle_timeout_s=60, wake_policy={"type": "speech"}
    )
    talking.speak(_LONG)
    talking.listen(70)
    talking.speak(_SHORT)
    for kind in ("instructions", "thinking", "commentary"):
        talking.send(f"session.{kind}.append", "sideband", content="Yes.", delegation_id=None)
    talking.send("session.update", "sideband", session={})
    for kind in ("mute", "unmute"):
        talking.send(f"session.input_audio.{kind}", "sideband", event_id="m")
    audio = base64.b64encode(speak(0.2)).decode()
    talking.send("session.output_audio.fixture.play", "sideband", audio=audio)
    talking.keep(talking.session.playback("stopped"))
    talking.send("nonsense")
    talking.send("session.close")
    talking.listen(1)
    return talking.received


def test_every_event_is_of_the_vendors_types() -> None:
    """In strict mode, and with no member that they do not know; all types are met but the reflected audio."""
    events = _walks()
    reflected = [
        {"type": "session.input_audio.append", "audio": "AAAA"},
        {"type": "session.output_audio.delta", "delta": "AAAA", "start_ms": 0, "end_ms": 100},
    ]
    for event in [*events, *reflected]:
        validated = _EVENT.validate_python(event, strict=True)
        assert validated.model_extra in ({}, None), event
        if "session" in event:
            assert not validated.session.model_extra
    assert {event["type"] for event in [*events, *reflected]} == SERVER_EVENTS


_BODY = {"session": {"model": "gpt-live-1.1"}, "transport": {"type": "webrtc", "sdp": "v=0\r\n"}}


@pytest.mark.parametrize(
    ("session", "transport", "code", "param"),
    [
        ({"type": "live"}, {}, "unknown_parameter", "session.type"),
        ({"input": None}, {}, "invalid_type", "session.input"),
        ({"instructions": 70_000 * "x"}, {}, "invalid_value", "session.instructions"),
        (
            {"input": 129 * [{"role": "user", "content": [{"text": "x"}]}]},
            {},
            "invalid_value",
            "session.input",
        ),
        (
            {"input": [{"role": "user", "content": [{"text": 40_000 * "x"}]}]},
            {},
            "invalid_value",
            "session.input",
        ),
        ({"input": [{"role": "user", "content": []}]}, {}, "invalid_value", "session.input[0].content"),
        ({"input": [{"role": "tool", "content": []}]}, {}, "invalid_value", "session.input[0].role"),
        ({"delegation": {"type": "responses"}}, {}, "invalid_value", "session.delegation.type"),
        ({"delegation": {"type": "other"}}, {}, "invalid_value", "session.delegation.type"),
        ({"triggers": [{}]}, {}, "invalid_value", "session.triggers"),
        ({"audio": {"format": {}}}, {}, "unknown_parameter", "session.audio.format"),
        ({"store": "no"}, {}, "invalid_type", "session.store"),
        ({"model": None}, {}, "invalid_type", "session.model"),
        (
            {"client": {"data_channel": {"allowed_server_events": [{"type": "response.event"}]}}},
            {},
            "invalid_value",
            "session.client.data_channel.allowed_server_events[0]",
        ),
        ({"client": {"data_channel": {"allowed_client_events": "none"}}}, {}, "invalid_value", None),
        ({}, {"type": "websocket"}, "invalid_value", "transport.type"),
        ({}, {"sdp": ""}, "invalid_value", "transport.sdp"),
        ({}, {"sdp": None}, "invalid_value", "transport.sdp"),
        ({}, {"extra": 1}, "unknown_parameter", "transport.extra"),
    ],
)
def test_bodies_are_strict(session: Event, transport: Event, code: str, param: str | None) -> None:
    """With the vendor's codes, and the member's path."""
    body = {
        "session": {**_BODY["session"], **session},
        "transport": {**_BODY["transport"], **transport},
    }
    with pytest.raises(ApiError) as refused:
        check_opening(body)
    assert refused.value.code == code
    assert param is None or refused.value.param == param


def test_a_whole_configuration_is_taken() -> None:
    """Every member that the sandbox knows."""
    session = {
        **_BODY["session"],
        "instructions": "Be brief.",
        "input": [
            {"role": "developer", "content": [{"type": "input_text", "text": "x"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "y"}], "status": "completed"},
        ],
        "audio": {"output": {"voice": {"id": "voice_1"}}},
        "delegation": {"type": "client", "acknowledgement_delay_ms": 100},
        "idle_timeout_s": 30,
        "wake_policy": {"type": "speech", "vad_threshold": 0.7},
        "safety_identifier": None,
        "store": False,
        **_lock("session.close", server=[{"type": "response.event", "response_event": "response.completed"}]),
    }
    check_opening({**_BODY, "session": session})
    client = live_client(**session)
    client.speak(_SHORT)
    client.listen(5)
    assert _delta(client.received, "output")
