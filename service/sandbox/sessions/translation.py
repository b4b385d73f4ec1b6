"""Translation sessions: speech goes in and comes out in another language, while the speaker goes on."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from itertools import cycle
from typing import ClassVar

from service.sandbox.audio import speech
from service.sandbox.audio.input_buffer import is_speech
from service.sandbox.audio.pcm import BYTES_PER_MS, SAMPLE_RATE
from service.sandbox.ids import NewId
from service.sandbox.schemas.events import TRANSLATION_EVENT
from service.sandbox.sessions import configuration
from service.sandbox.sessions.base import BaseSession, Handler, decode_audio
from service.sandbox.sessions.configuration import Config
from service.sandbox.sessions.events import TRANSLATION_EVENTS, Event
from service.sandbox.sessions.sample_sentences import SOURCE, sentence_in
from service.sandbox.sessions.scheduler import Clock

_FRAME_MS = 200
"""The vendor translates in frames of this length; here, each frame with speech becomes one word."""

_FRAME_BYTES = _FRAME_MS * BYTES_PER_MS
_VOICE = "marin"


class Translation(BaseSession):
    """A translation: it has no items and no turns, only deltas."""

    schema = TRANSLATION_EVENT
    known = TRANSLATION_EVENTS

    def __init__(self, session: Config, *, new_id: NewId, clock: Clock) -> None:
        super().__init__(session, new_id=new_id, clock=clock)
        self._unread = bytearray()
        self._elapsed_ms = 0
        self._source = cycle(SOURCE.split())
        self._target = cycle(sentence_in(self._language).split())

    @property
    def _language(self) -> str:
        return str(self.session["audio"]["output"]["language"])

    def update_session(self, event: Event) -> list[Event]:
        """Change the configuration; another language starts its sentence from the beginning."""
        before = self._language
        self.session = configuration.update(self.session, event["session"])
        if self._language != before:
            self._target = cycle(sentence_in(self._language).split())
        return [self.events("session.updated", session=self.session)]

    def append(self, event: Event) -> list[Event]:
        """Translate audio."""
        return self.hear(decode_audio(event["audio"]))

    def hear(self, audio: bytes) -> list[Event]:
        """Translate all whole frames of PCM (16 bits, 24 kHz, mono); the rest waits for more."""
        self._unread += audio
        events: list[Event] = []
        while len(self._unread) >= _FRAME_BYTES:
            frame = bytes(self._unread[:_FRAME_BYTES])
            del self._unread[:_FRAME_BYTES]
            self._elapsed_ms += _FRAME_MS
            if is_speech(frame):
                events += self._word()
        return events

    def close(self, _event: Event) -> list[Event]:
        """End the session."""
        self.ended = True
        return [self.events("session.closed")]

    def _word(self) -> list[Event]:
        elapsed_ms, word = self._elapsed_ms, next(self._target)
        events = []
        if self.session["audio"]["input"]["transcription"]:
            kind = "session.input_transcript.delta"
            events.append(self.events(kind, delta=f"{next(self._source)} ", elapsed_ms=elapsed_ms))
        events.append(self.events("session.output_transcript.delta", delta=f"{word} ", elapsed_ms=elapsed_ms))
        audio = base64.b64encode(speech.synthesize([word], _VOICE)[0]).decode()
        audio_format = {"format": "pcm16", "sample_rate": SAMPLE_RATE, "channels": 1}
        events.append(
            self.events("session.output_audio.delta", delta=audio, elapsed_ms=elapsed_ms, **audio_format)
        )
        return events

    handlers: ClassVar[Mapping[str, Handler]] = {
        "session.update": update_session,
        "session.input_audio_buffer.append": append,
        "session.close": close,
    }
