"""Realtime sessions over media as state machines: what becomes sound, what is cut off, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from service.sandbox.sessions.realtime_media import OUTPUT_BUFFER_EVENTS
from service.sandbox.webrtc.playout import Playout
from tests.support.media_session import MediaClient, realtime_client
from tests.support.sandbox_session import SILENCE, Event, error_of, kinds, one, speak

_SERVER: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
_LONG = 'Say: "' + " ".join(["Here comes quite a long sentence for you."] * 5) + '"'


def _talking(**config: Any) -> MediaClient:
    """A session in the middle of a long answer, of which a second was heard."""
    client = realtime_client(**config)
    client.send("response.create", response={"instructions": _LONG})
    client.listen(0.01)
    client.keep(client.session.playback("started"))
    client.listen(1)
    assert client.speaker.sounding
    return client


def test_audio_is_played_and_not_told() -> None:
    """The transcript is, and when the sound began and stopped."""
    client = realtime_client()
    client.send("response.create", response={"instructions": 'Say: "Good morning to you."'})
    client.listen(0.01)
    client.keep(client.session.playback("started"))
    client.listen(10)
    client.keep(client.session.playback("stopped"))
    response = one(client.received, "response.done")["response"]
    assert len(client.speaker.sound) / 48 == pytest.approx(
        response["usage"]["output_token_details"]["audio_tokens"] * 50, abs=200
    )
    assert one(client.received, "output_audio_buffer.started")["response_id"] == response["id"]
    assert one(client.received, "output_audio_buffer.stopped")["response_id"] == response["id"]
    assert "response.output_audio.delta" not in kinds(client.received)
    assert client.speaker.finished


@pytest.mark.parametrize("encoding", ["audio/pcmu", "audio/pcma"])
def test_the_sound_does_not_depend_on_the_sessions_format(encoding: str) -> None:
    """It is of the same length, since the track has a format of its own."""
    plain, telephone = realtime_client(), realtime_client(audio={"output": {"format": {"type": encoding}}})
    for client in (plain, telephone):
        client.send("response.create")
        client.listen(10)
    assert len(plain.speaker.sound) == pytest.approx(len(telephone.speaker.sound), rel=0.01)


def test_an_answer_keeps_the_pace_of_its_voice() -> None:
    """It is generated a little ahead of what is heard, and cancelled in the middle if need be."""
    client = realtime_client()
    client.send("response.create", response={"instructions": _LONG})
    for _ in range(40):
        client.listen(0.1)
        ahead = len(client.speaker.sound) / 48_000 - (client.clock.now - 1000.0)
        assert 0 < ahead < 2


@pytest.mark.parametrize("while_generating", [True, False])
def test_a_cancelled_answer_is_silent_at_once(*, while_generating: bool) -> None:
    """Also where all of it was generated already, and only the sound is left."""
    client = _talking()
    if not while_generating:
        while client.session.due_in() is not None and "response.done" not in kinds(client.received):
            client.clock.now += client.session.due_in() or 0
            client.keep(client.session.advance())
    told = client.send("response.cancel")
    assert not client.speaker.sounding
    assert one(told, "output_audio_buffer.cleared")
    assert ("response.done" in kinds(told)) == while_generating
    truncated = one(told, "conversation.item.truncated")
    assert truncated["audio_end_ms"] > 900


def _two_answers() -> tuple[MediaClient, list[str]]:
    """A session whose first answer is still heard when the second one is spoken; and their ids."""
    client = _talking()
    while "response.done" not in kinds(client.received):
        client.clock.now += client.session.due_in() or 0
        client.keep(client.session.advance())
    client.send("response.create")
    client.keep(client.session.advance())
    assert client.speaker.sounding
    return client, [e["response"]["id"] for e in client.received if e["type"] == "response.created"]


def test_each_answers_sound_is_told_though_they_follow_without_a_pause() -> None:
    client, (first, second) = _two_answers()
    told = client.session.playback("stopped") + client.session.playback("started")
    assert [(event["type"], event["response_id"]) for event in told] == [
        ("output_audio_buffer.stopped", first),
        ("output_audio_buffer.started", second),
    ]
    assert client.session.playback("stopped")[0]["response_id"] == second


def test_what_follows_the_sound_that_is_cut_was_not_heard() -> None:
    """Of the first answer a part was, of the second one nothing."""
    client, (first, _) = _two_answers()
    told = client.send("response.cancel")
    assert not client.speaker.sounding
    assert one(told, "output_audio_buffer.cleared")["response_id"] == first
    heard, unheard = [e["audio_end_ms"] for e in told if e["type"] == "conversation.item.truncated"]
    assert heard > 900
    assert unheard == 0


def test_cancelling_an_answer_that_is_not_heard_silences_no_other() -> None:
    """Such as one outside the conversation, in text."""
    client = _talking()
    params = {"conversation": "none", "output_modalities": ["text"], "instructions": _LONG}
    other = one(client.send("response.create", response=params), "response.created")["response"]["id"]
    told = client.send("response.cancel", response_id=other)
    assert one(told, "response.done")["response"]["status"] == "cancelled"
    assert "output_audio_buffer.cleared" not in kinds(told)
    assert client.speaker.sounding


def test_speaking_interrupts_what_is_heard_though_another_answer_is_generated() -> None:
    client = _talking()
    while "response.done" not in kinds(client.received):
        client.clock.now += client.session.due_in() or 0
        client.keep(client.session.advance())
    client.send("response.create", response={"output_modalities": ["text"], "instructions": _LONG})
    told = client.speak(speak(0.5))
    assert one(told, "output_audio_buffer.cleared")
    assert not client.speaker.sounding


def test_sounds_that_are_generated_at_once_are_told_once_each() -> None:
    """One of the conversation and one outside of it: their parts come in turns."""
    client = realtime_client()
    client.send("response.create", response={"instructions": _LONG})
    client.send("response.create", response={"instructions": _LONG, "conversation": "none"})
    client.listen(3)
    first, second = [e["response"]["id"] for e in client.received if e["type"] == "response.created"]
    changes = ("started", "stopped", "started", "stopped")
    told = [event for change in changes for event in client.session.playback(change)]
    assert [event["response_id"] for event in told] == [first, first, second, second]
    assert client.session.playback("started")[0]["response_id"] == second


def test_a_playout_tells_one_sound_from_the_next() -> None:
    changes: list[str] = []
    playout = Playout(changes.append)
    playout.play(bytes(4800))
    playout.begin()
    playout.play(bytes(9600))
    playout.finish()
    heard = []
    while playout.sounding:
        playout.take()
        heard.append(playout.played_ms)
    assert changes == ["started", "stopped", "started", "stopped"]
    assert heard.index(20, 1) in range(5, 8)  # the codec holds a packet back
    assert max(heard[heard.index(20, 1) :]) >= 180


def test_a_cleared_buffer_stays_silent_for_the_rest_of_its_answer() -> None:
    """The answer itself goes on, as the vendor's does until it is cancelled."""
    client = _talking()
    assert "output_audio_buffer.cleared" in kinds(client.send("output_audio_buffer.clear"))
    client.listen(60)
    assert not client.speaker.sounding
    assert one(client.received, "response.done")["response"]["status"] == "completed"
    client.send("response.create")
    assert client.speaker.sounding or client.listen(0.1) is not None
    assert client.speaker.sounding
    assert client.send("output_audio_buffer.clear")


def test_clearing_a_silent_buffer_does_nothing() -> None:
    """There is no response that it could be told of."""
    assert realtime_client().send("output_audio_buffer.clear") == []
    assert error_of(realtime_client().send("response.cancel"))["code"] == "response_cancel_not_active"


def test_speaking_interrupts() -> None:
    """The answer is cancelled, its sound stops, and its item keeps what was heard."""
    client = _talking()
    told = client.speak(speak(0.3))
    assert one(told, "response.done")["response"]["status_details"]["reason"] == "turn_detected"
    assert not client.speaker.sounding
    item_id = one(told, "conversation.item.truncated")["item_id"]
    item = one(client.send("conversation.item.retrieve", item_id=item_id), "conversation.item.retrieved")[
        "item"
    ]
    assert 0 < len(item["content"][0]["transcript"].split()) < 10


def test_speaking_does_not_interrupt_where_it_must_not() -> None:
    """``interrupt_response`` is the session's choice."""
    turns = {"type": "server_vad", "interrupt_response": False}
    client = _talking(audio={"input": {"turn_detection": turns}})
    client.speak(speak(0.3))
    assert client.speaker.sounding


def test_a_microphone_is_transcribed() -> None:
    """In a transcription session, which answers nothing."""
    client = realtime_client(
        type="transcription", audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}}
    )
    client.speak(speak(1) + SILENCE)
    client.listen(5)
    kind = "conversation.item.input_audio_transcription.completed"
    assert one(client.received, kind)["transcript"].startswith("I spoke to you for ")
    assert not client.speaker.sound


def test_every_end_is_at_once() -> None:
    """The vendor tells none of them."""
    for end in (lambda c: c.session.end("hangup"), lambda c: c.session.disconnected()):
        client = realtime_client()
        assert end(client) == []
        assert client.session.ended
    client = realtime_client()
    assert error_of(client.listen(3601))["code"] == "session_expired"
    assert (client.session.ended, client.session.ended_by) == (True, None)


def test_every_event_is_of_the_vendors_types() -> None:
    """Also those that are sent over WebRTC alone."""
    client = _talking()
    client.send("output_audio_buffer.clear")
    client.listen(30)
    client.keep(client.session.playback("stopped"))
    events: list[Event] = client.received
    for event in events:
        assert _SERVER.validate_python(event, strict=True).type == event["type"]
    assert {event["type"] for event in events} >= OUTPUT_BUFFER_EVENTS
