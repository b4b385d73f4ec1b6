"""Sessions with input audio: turns or commits become user messages, which are transcribed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from service.sandbox import models
from service.sandbox.audio import pcm
from service.sandbox.audio.input_buffer import InputBuffer, Turn
from service.sandbox.errors import ApiError, invalid_value
from service.sandbox.ids import NewId
from service.sandbox.schemas.events import CONVERSATION_EVENT
from service.sandbox.sessions import configuration, replies, tokens
from service.sandbox.sessions.base import BaseSession, Handler, decode_audio
from service.sandbox.sessions.configuration import Config
from service.sandbox.sessions.events import CONVERSATION_EVENTS, Event
from service.sandbox.sessions.items import Item, Items, snapshot
from service.sandbox.sessions.scheduler import Clock, TimedEvents

_MIN_COMMIT_MS = 100
_TRANSCRIPT_PAUSE = 0.02
_LOGPROBS = "item.input_audio_transcription.logprobs"


class Listening(BaseSession):
    """A session with an input audio buffer, and the items that are made from it."""

    schema = CONVERSATION_EVENT
    known = CONVERSATION_EVENTS

    def __init__(self, session: Config, *, new_id: NewId, clock: Clock) -> None:
        super().__init__(session, new_id=new_id, clock=clock)
        self.items = Items()
        self.buffer = InputBuffer(self.turn_detection)
        self._turn_item_id = ""

    @property
    def turn_detection(self) -> dict[str, Any] | None:
        """Return the session's settings for turn detection, or None."""
        settings: dict[str, Any] | None = self.session["audio"]["input"]["turn_detection"]
        return settings

    def update_session(self, event: Event) -> list[Event]:
        """Change the session's configuration."""
        change = event["session"]
        if change["type"] != self.session["type"]:
            message = f"Passing a {change['type']} session update to a {self.session['type']} session is not allowed."
            raise invalid_value(message, "session.type")
        self.check_update(change)
        self.session = configuration.update(self.session, change)
        self.buffer.configure(self.turn_detection)
        return [self.events("session.updated", session=self.session)]

    def check_update(self, change: Config) -> None:
        """Refuse changes that are no longer allowed; here, all are allowed."""

    def append(self, event: Event) -> list[Event]:
        """Add audio to the buffer, and handle the turns that are found in it."""
        encoding = self.session["audio"]["input"]["format"]["type"]
        return self.hear(pcm.decode(decode_audio(event["audio"]), encoding))

    def hear(self, audio: bytes) -> list[Event]:
        """Add PCM (16 bits, 24 kHz, mono) to the buffer, and handle the turns that are found in it."""
        events: list[Event] = []
        for turn in self.buffer.append(audio):
            events += self._turn_started(turn) if turn.kind == "started" else self._turn_stopped(turn)
        return events

    def commit(self, _event: Event) -> list[Event]:
        """Turn the buffer into a message."""
        if self.buffer.pending_ms < _MIN_COMMIT_MS:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{_MIN_COMMIT_MS}ms of audio, but buffer only has {self.buffer.pending_ms:.2f}ms of audio."
            )
            raise ApiError(message, code="input_audio_buffer_commit_empty")
        item_id = self._turn_item_id if self.buffer.speaking else self.new_id("item")
        return self.take_message(item_id, self.buffer.take())

    def clear(self, _event: Event) -> list[Event]:
        """Empty the buffer."""
        self.buffer.clear()
        return [self.events("input_audio_buffer.cleared")]

    def on_speech(self) -> list[Event]:
        """Return the reaction to the beginning of speech."""
        return []

    def on_turn(self) -> list[Event]:
        """Return the reaction to the end of a turn."""
        return []

    def take_message(self, item_id: str, audio: bytes) -> list[Event]:
        """Add a user message with audio, and start its transcription."""
        previous = self.items.last_id()
        item: Item = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        committed = self.events("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous)
        added = self.add_item(item, audio=audio)
        self._transcribe(item_id)
        return [committed, *added]

    def add_item(self, item: Item, *, after: str | None = None, audio: bytes = b"") -> list[Event]:
        """Add a complete item to the conversation, with its audio apart: events do not repeat it."""
        previous = self.items.add(item, after=after, audio=audio)
        return [
            self.events(kind, item=snapshot(item), previous_item_id=previous)
            for kind in ("conversation.item.added", "conversation.item.done")
        ]

    def _turn_started(self, turn: Turn) -> list[Event]:
        self._turn_item_id = self.new_id("item")
        kind = "input_audio_buffer.speech_started"
        return [self.events(kind, audio_start_ms=turn.at_ms, item_id=self._turn_item_id), *self.on_speech()]

    def _turn_stopped(self, turn: Turn) -> list[Event]:
        kind = "input_audio_buffer.speech_stopped"
        stopped = self.events(kind, audio_end_ms=turn.at_ms, item_id=self._turn_item_id)
        return [stopped, *self.take_message(self._turn_item_id, turn.audio), *self.on_turn()]

    def _transcribe(self, item_id: str) -> None:
        if self.session["audio"]["input"]["transcription"]:
            self.scheduler.start(
                f"transcript of {item_id}", self._transcription(item_id), delay=_TRANSCRIPT_PAUSE
            )

    def _transcription(self, item_id: str) -> TimedEvents:
        transcript = replies.transcript_of(self.items.audio.get(item_id, b""))
        part = {"item_id": item_id, "content_index": 0}
        prefix = "conversation.item.input_audio_transcription"
        words = transcript.split(" ")
        for index, word in enumerate(words):
            delta = word if index == 0 else f" {word}"
            event = self.events(f"{prefix}.delta", **part, delta=delta, logprobs=self._logprobs([delta]))
            yield [event], _TRANSCRIPT_PAUSE
        self._set_transcript(item_id, transcript)
        done = self.events(
            f"{prefix}.completed",
            **part,
            transcript=transcript,
            usage=self._transcription_usage(item_id, transcript),
            logprobs=self._logprobs(words),
        )
        yield [done], 0.0

    def _set_transcript(self, item_id: str, transcript: str) -> None:
        item = next((item for item in self.items if item["id"] == item_id), None)
        if item:
            item["content"][0]["transcript"] = transcript

    def _logprobs(self, pieces: list[str]) -> list[dict[str, Any]] | None:
        if _LOGPROBS not in (self.session.get("include") or []):
            return None
        return [{"token": piece, "bytes": list(piece.encode()), "logprob": -0.01} for piece in pieces]

    def _transcription_usage(self, item_id: str, transcript: str) -> dict[str, Any]:
        """Count tokens or seconds, as the model bills."""
        ms = pcm.milliseconds(self.items.audio.get(item_id, b""))
        model = models.find(
            self.session["audio"]["input"]["transcription"].get("model") or "", "transcription"
        )
        if model and model.bills_seconds:
            return {"type": "duration", "seconds": ms / 1000}
        audio_tokens, text_tokens = tokens.input_audio_tokens(ms), tokens.text_tokens(transcript)
        return {
            "type": "tokens",
            "total_tokens": audio_tokens + text_tokens,
            "input_tokens": audio_tokens,
            "output_tokens": text_tokens,
            "input_token_details": {"text_tokens": 0, "audio_tokens": audio_tokens},
        }

    handlers: ClassVar[Mapping[str, Handler]] = {
        "session.update": update_session,
        "input_audio_buffer.append": append,
        "input_audio_buffer.commit": commit,
        "input_audio_buffer.clear": clear,
    }


class Transcription(Listening):
    """A transcription session: turns are found and transcribed, and get no answer."""
