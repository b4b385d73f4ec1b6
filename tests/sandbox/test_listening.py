"""Input audio: turns found by loudness, commits, transcripts, interruptions."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from service.sandbox.audio import pcm
from tests.support.sandbox_session import SILENCE, Event, SessionClient, error_of, kinds, one, speak

_WRITTEN = {"transcription": {"model": "gpt-4o-transcribe"}}


def _listener(**heard: Any) -> SessionClient:
    return SessionClient({"audio": {"input": heard}})


def test_a_turn_is_found_committed_and_answered() -> None:
    """The client sends only speech and then silence."""
    client = _listener(**_WRITTEN)
    client.append(SILENCE + speak(1.5) + SILENCE)
    events = client.received + client.listen()
    assert kinds(events)[:7] == [
        "session.created",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    started, stopped = (
        one(events, "input_audio_buffer.speech_started"),
        one(events, "input_audio_buffer.speech_stopped"),
    )
    assert started["item_id"] == stopped["item_id"] == one(events, "input_audio_buffer.committed")["item_id"]
    assert "response.done" in kinds(events)


def test_the_positions_of_a_turn_are_milliseconds_of_audio() -> None:
    """The padding before speech is part of the turn, and so is the silence that ends it."""
    client = _listener(
        turn_detection={"type": "server_vad", "prefix_padding_ms": 200, "silence_duration_ms": 400}
    )
    client.append(SILENCE + speak(1) + SILENCE)
    assert one(client.received, "input_audio_buffer.speech_started")["audio_start_ms"] == pytest.approx(
        800, abs=60
    )
    assert one(client.received, "input_audio_buffer.speech_stopped")["audio_end_ms"] == pytest.approx(
        2400, abs=60
    )


def test_silence_and_clicks_are_not_speech() -> None:
    """A click is shorter than a syllable."""
    client = _listener()
    click = speak(1)[4800 : 4800 + 40 * pcm.BYTES_PER_MS]
    client.append(SILENCE + click + SILENCE)
    assert kinds(client.received) == ["session.created"]


def test_a_higher_threshold_finds_less_speech() -> None:
    """The same quiet voice is speech at 0.5 and not at 1.0."""
    quiet = pcm.to_bytes(
        pcm.samples(speak(1)).__class__("h", (value // 4 for value in pcm.samples(speak(1))))
    )
    heard = {}
    for threshold in (0.2, 1.0):
        client = _listener(turn_detection={"type": "server_vad", "threshold": threshold})
        client.append(quiet + SILENCE)
        heard[threshold] = "input_audio_buffer.speech_started" in kinds(client.received)
    assert heard == {0.2: True, 1.0: False}


@pytest.mark.parametrize(("eagerness", "turns"), [("high", 2), ("low", 1)])
def test_higher_eagerness_ends_a_turn_sooner(eagerness: str, turns: int) -> None:
    """Half a second of silence is a pause for one setting and the end for another."""
    client = _listener(
        turn_detection={"type": "semantic_vad", "eagerness": eagerness, "create_response": False}
    )
    client.append(speak(1) + SILENCE[: len(SILENCE) // 2] + speak(1) + SILENCE + SILENCE)
    assert [event["type"] for event in client.received].count("input_audio_buffer.committed") == turns


def test_speech_interrupts_an_answer() -> None:
    """The answer ends as cancelled, because a turn was detected."""
    client = _listener()
    client.send("response.create")
    client.listen(0.1)
    events = client.append(speak(1))
    assert one(events, "response.done")["response"]["status_details"] == {
        "type": "cancelled",
        "reason": "turn_detected",
    }


def test_interruption_can_be_switched_off() -> None:
    """Then the answer goes on, and the turn gets none."""
    client = _listener(turn_detection={"type": "server_vad", "interrupt_response": False})
    client.send("response.create")
    events = [*client.append(speak(1) + SILENCE), *client.listen()]
    assert one(events, "response.done")["response"]["status"] == "completed"
    assert [event["type"] for event in client.received].count("response.created") == 1


def test_automatic_answers_can_be_switched_off() -> None:
    """Without ``create_response`` the client asks for each response."""
    client = _listener(turn_detection={"type": "server_vad", "create_response": False})
    client.append(speak(1) + SILENCE)
    assert "input_audio_buffer.committed" in kinds(client.received)
    assert "response.created" not in kinds(client.received)


def test_without_turn_detection_the_client_commits() -> None:
    """Nothing is sent until it does, and nothing answered until it asks."""
    client = _listener(turn_detection=None)
    assert client.append(speak(1)) == []
    events = client.send("input_audio_buffer.commit")
    assert kinds(events) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert events[1]["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    assert (
        "I spoke to you for 1.0 seconds"
        in one(client.ask(), "response.output_audio_transcript.done")["transcript"]
    )


def test_too_little_audio_cannot_be_committed() -> None:
    """The vendor requires 100 ms."""
    client = _listener(turn_detection=None)
    client.append(speak(1)[: 99 * pcm.BYTES_PER_MS])
    error = error_of(client.send("input_audio_buffer.commit"))
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert "99.00ms" in error["message"]


def test_a_cleared_buffer_is_empty() -> None:
    """Audio from before no longer counts."""
    client = _listener(turn_detection=None)
    client.append(speak(1))
    assert kinds(client.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert error_of(client.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"


def test_a_commit_in_the_middle_of_speech_keeps_the_turns_item() -> None:
    """Its id was sent when speech began."""
    client = _listener()
    started = one(client.append(speak(1)), "input_audio_buffer.speech_started")
    assert (
        one(client.send("input_audio_buffer.commit"), "input_audio_buffer.committed")["item_id"]
        == started["item_id"]
    )


def test_a_transcript_is_sent_in_deltas_and_then_whole() -> None:
    """Afterwards the item holds it."""
    client = _listener(**_WRITTEN, turn_detection=None)
    client.append(speak(1))
    item_id = one(client.send("input_audio_buffer.commit"), "input_audio_buffer.committed")["item_id"]
    events = client.listen()
    prefix = "conversation.item.input_audio_transcription"
    completed = one(events, f"{prefix}.completed")
    assert "".join(e["delta"] for e in events if e["type"] == f"{prefix}.delta") == completed["transcript"]
    assert completed["usage"]["input_token_details"]["audio_tokens"] == 10
    item = client.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert item["content"][0]["transcript"] == completed["transcript"]


def test_some_transcription_models_are_billed_by_duration() -> None:
    """The vendor counts ``whisper-1`` by duration."""
    client = _listener(transcription={"model": "whisper-1"}, turn_detection=None)
    client.append(speak(1.5))
    client.send("input_audio_buffer.commit")
    completed = one(client.listen(), "conversation.item.input_audio_transcription.completed")
    assert completed["usage"] == {"type": "duration", "seconds": 1.5}


@pytest.mark.parametrize("encoding", ["audio/pcmu", "audio/pcma"])
def test_speech_is_found_in_telephone_audio(encoding: str) -> None:
    """A sixth of the bytes for the same second of speech."""
    client = _listener(format={"type": encoding})
    client.append(pcm.encode(speak(1) + SILENCE, encoding))
    stopped = one(client.received, "input_audio_buffer.speech_stopped")
    assert stopped["audio_end_ms"] == pytest.approx(1500, abs=80)


def test_an_idle_timeout_starts_a_response() -> None:
    """The model answers by itself, five seconds after its last response has been played."""
    client = _listener(turn_detection={"type": "server_vad", "idle_timeout_ms": 5000})
    client.send("response.create")
    events = client.listen(4)
    assert kinds(events)[-1] == "rate_limits.updated"
    deltas = [event["delta"] for event in events if event["type"] == "response.output_audio.delta"]
    assert client.listen(sum(len(base64.b64decode(delta)) for delta in deltas) / 48_000) == []
    events = client.listen(6)
    assert kinds(events)[:3] == [
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
    ]
    assert "response.created" in kinds(events)


def test_a_transcription_session_transcribes_and_does_not_answer() -> None:
    """Turns are found and transcribed; asking for a response is an error."""
    client = SessionClient({"type": "transcription", "audio": {"input": _WRITTEN}})
    client.append(speak(1) + SILENCE)
    events = [*client.received, *client.listen()]
    assert "conversation.item.input_audio_transcription.completed" in kinds(events)
    assert not any(kind.startswith("response.") for kind in kinds(events))
    error = error_of(client.send("response.create"))
    assert "not allowed in a transcription session" in error["message"]


def test_a_translation_goes_on_while_the_speaker_speaks() -> None:
    """It sends text in both languages and audio, without turns; silence adds nothing."""
    events = _translated("de", speak(2) + SILENCE)
    target = "".join(e["delta"] for e in events if e["type"] == "session.output_transcript.delta")
    source = "".join(e["delta"] for e in events if e["type"] == "session.input_transcript.delta")
    audio = [e for e in events if e["type"] == "session.output_audio.delta"]
    assert target.startswith("Guten Morgen")
    assert source.startswith("Good morning")
    assert len(audio) == len(target.split()) == len(source.split())
    assert all(base64.b64decode(event["delta"]) for event in audio)
    assert events[-1]["elapsed_ms"] <= 2200


def test_a_translation_can_change_its_language_and_end() -> None:
    """The next word is in the new language."""
    client = _translator("de")
    client.append(speak(1), kind="session.input_audio_buffer.append")
    client.send("session.update", session={"audio": {"output": {"language": "fr"}}})
    events = client.append(speak(1), kind="session.input_audio_buffer.append")
    assert next(e["delta"] for e in events if e["type"] == "session.output_transcript.delta") == "Bonjour "
    assert kinds(client.send("session.close")) == ["session.closed"]
    assert client.session.ended


def test_a_translation_refuses_events_of_conversations() -> None:
    """The error lists its own events."""
    error = error_of(_translator("de").send("response.create"))
    assert "session.close" in error["message"]


def _translator(language: str) -> SessionClient:
    audio = {"input": {"transcription": {"model": "gpt-realtime-whisper"}}, "output": {"language": language}}
    return SessionClient({"type": "translation", "model": "gpt-realtime-translate", "audio": audio})


def _translated(language: str, audio: bytes) -> list[Event]:
    return _translator(language).append(audio, kind="session.input_audio_buffer.append")
