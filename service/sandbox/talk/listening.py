"""Sessions that listen: input audio becomes user messages, by turns or on demand, and is transcribed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from service.sandbox.ids import NewId
from service.sandbox.refusal import Refusal
from service.sandbox.shapes.events import CONVERSATION_EVENT
from service.sandbox.sound import pcm
from service.sandbox.sound.hearing import InputBuffer, Turn
from service.sandbox.talk import sessions, tokens
from service.sandbox.talk.agenda import Clock, Steps
from service.sandbox.talk.channel import Channel, Handler, decode_audio
from service.sandbox.talk.items import Item, Items
from service.sandbox.talk.server_events import CONVERSATION_EVENTS, Event
from service.sandbox.talk.sessions import Config

_SHORTEST_COMMIT_MS = 100
_TRANSCRIPT_PAUSE = 0.02
_LOGPROBS = "item.input_audio_transcription.logprobs"


class Listening(Channel):
    """A session with an input audio buffer and the items that come of it."""

    shape = CONVERSATION_EVENT
    known = CONVERSATION_EVENTS

    def __init__(self, session: Config, *, new_id: NewId, clock: Clock) -> None:
        super().__init__(session, new_id=new_id, clock=clock)
        self.items = Items()
        self.buffer = InputBuffer(self.turn_detection)
        self._turn_item_id = ""

    @property
    def turn_detection(self) -> dict[str, Any] | None:
        """The session's settings for finding turns."""
        settings: dict[str, Any] | None = self.session["audio"]["input"]["turn_detection"]
        return settings

    def update_session(self, event: Event) -> list[Event]:
        """Change the configuration."""
        change = event["session"]
        if change["type"] != self.session["type"]:
            message = f"Passing a {change['type']} session update to a {self.session['type']} session is not allowed."
            raise Refusal(message, code="invalid_value", param="session.type")
        self.check_update(change)
        self.session = sessions.update(self.session, change)
        self.buffer.configure(self.turn_detection)
        return [self.events("session.updated", session=self.session)]

    def check_update(self, change: Config) -> None:
        """Refuse what cannot change any more; the plain listener lets everything change."""

    def append(self, event: Event) -> list[Event]:
        """Hear audio, and act on the turns in it."""
        encoding = self.session["audio"]["input"]["format"]["type"]
        sent: list[Event] = []
        for turn in self.buffer.append(pcm.decode(decode_audio(event["audio"]), encoding)):
            sent += self._turn_started(turn) if turn.kind == "started" else self._turn_stopped(turn)
        return sent

    def commit(self, _event: Event) -> list[Event]:
        """Make a message of the buffer, because the client says so."""
        if self.buffer.pending_ms < _SHORTEST_COMMIT_MS:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{_SHORTEST_COMMIT_MS}ms of audio, but buffer only has {self.buffer.pending_ms:.2f}ms of audio."
            )
            raise Refusal(message, code="input_audio_buffer_commit_empty")
        item_id = self._turn_item_id if self.buffer.speaking else self.new_id("item")
        return self.take_message(item_id, self.buffer.take())

    def clear(self, _event: Event) -> list[Event]:
        """Forget the buffer."""
        self.buffer.clear()
        return [self.events("input_audio_buffer.cleared")]

    def on_speech(self) -> list[Event]:
        """React to the user's beginning to speak."""
        return []

    def on_turn(self) -> list[Event]:
        """React to a whole turn."""
        return []

    def take_message(self, item_id: str, audio: bytes) -> list[Event]:
        """Make a user message of audio, and start writing it down."""
        previous = self.items.last_id()
        item: Item = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        self.items.audio[item_id] = audio
        committed = self.events("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous)
        self._transcribe(item_id)
        return [committed, *self.add_item(item)]

    def add_item(self, item: Item, *, after: str | None = None) -> list[Event]:
        """Put a finished item into the conversation."""
        previous = self.items.add(item, after=after)
        return [
            self.events(kind, item=_copied(item), previous_item_id=previous)
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
            self.agenda.start(
                f"transcript of {item_id}", self._transcription(item_id), delay=_TRANSCRIPT_PAUSE
            )

    def _transcription(self, item_id: str) -> Steps:
        transcript = transcript_of(self.items.audio.get(item_id, b""))
        about = {"item_id": item_id, "content_index": 0}
        prefix = "conversation.item.input_audio_transcription"
        words = transcript.split(" ")
        for index, word in enumerate(words):
            delta = word if index == 0 else f" {word}"
            told = self.events(f"{prefix}.delta", **about, delta=delta, logprobs=self._logprobs([delta]))
            yield [told], _TRANSCRIPT_PAUSE
        self._write_down(item_id, transcript)
        done = self.events(
            f"{prefix}.completed",
            **about,
            transcript=transcript,
            usage=self._transcription_usage(item_id, transcript),
            logprobs=self._logprobs(words),
        )
        yield [done], 0.0

    def _write_down(self, item_id: str, transcript: str) -> None:
        item = next((item for item in self.items if item["id"] == item_id), None)
        if item:
            item["content"][0]["transcript"] = transcript

    def _logprobs(self, pieces: list[str]) -> list[dict[str, Any]] | None:
        if _LOGPROBS not in (self.session.get("include") or []):
            return None
        return [{"token": piece, "bytes": list(piece.encode()), "logprob": -0.01} for piece in pieces]

    def _transcription_usage(self, item_id: str, transcript: str) -> dict[str, Any]:
        """The vendor counts tokens; for its oldest model, seconds."""
        ms = pcm.milliseconds(self.items.audio.get(item_id, b""))
        if self.session["audio"]["input"]["transcription"].get("model") == "whisper-1":
            return {"type": "duration", "seconds": ms / 1000}
        heard, written = tokens.input_audio_tokens(ms), tokens.text_tokens(transcript)
        return {
            "type": "tokens",
            "total_tokens": heard + written,
            "input_tokens": heard,
            "output_tokens": written,
            "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        }

    handlers: ClassVar[Mapping[str, Handler]] = {
        "session.update": update_session,
        "input_audio_buffer.append": append,
        "input_audio_buffer.commit": commit,
        "input_audio_buffer.clear": clear,
    }


def _copied(item: Item) -> Item:
    """Copy an item as deep as it ever changes."""
    if "content" not in item:
        return dict(item)
    return {**item, "content": [dict(part) for part in item["content"]]}


def transcript_of(audio: bytes | bytearray) -> str:
    """Write down PCM that nobody can listen to offline: how long it was; nothing where there is none."""
    if not audio:
        return ""
    return f"I spoke to you for {pcm.milliseconds(audio) / 1000:.1f} seconds."
