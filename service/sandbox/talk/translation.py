"""Translation sessions: speech goes in, and comes out in another language while it is still going on."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from itertools import cycle
from typing import ClassVar

from service.sandbox.ids import NewId
from service.sandbox.shapes.events import TRANSLATION_EVENT
from service.sandbox.sound import speech
from service.sandbox.sound.hearing import is_speech
from service.sandbox.sound.pcm import BYTES_PER_MS, SAMPLE_RATE
from service.sandbox.talk import sessions
from service.sandbox.talk.agenda import Clock
from service.sandbox.talk.channel import Channel, Handler, decode_audio
from service.sandbox.talk.phrases import SOURCE, phrase_in
from service.sandbox.talk.server_events import TRANSLATION_EVENTS, Event
from service.sandbox.talk.sessions import Config

_FRAME_MS = 200
"""The vendor translates in frames of this length; one with speech in it is a word here."""

_FRAME_BYTES = _FRAME_MS * BYTES_PER_MS
_VOICE = "marin"


class Translation(Channel):
    """A translation: no items and no turns, only deltas as the audio comes."""

    shape = TRANSLATION_EVENT
    known = TRANSLATION_EVENTS

    def __init__(self, session: Config, *, new_id: NewId, clock: Clock) -> None:
        super().__init__(session, new_id=new_id, clock=clock)
        self._unread = bytearray()
        self._elapsed_ms = 0
        self._source = cycle(SOURCE.split())
        self._target = cycle(phrase_in(self._language).split())

    @property
    def _language(self) -> str:
        return str(self.session["audio"]["output"]["language"])

    def update_session(self, event: Event) -> list[Event]:
        """Change the configuration; another language begins its phrase anew."""
        before = self._language
        self.session = sessions.update(self.session, event["session"])
        if self._language != before:
            self._target = cycle(phrase_in(self._language).split())
        return [self.events("session.updated", session=self.session)]

    def append(self, event: Event) -> list[Event]:
        """Translate what has come in whole frames; the rest waits for more."""
        self._unread += decode_audio(event["audio"])
        told: list[Event] = []
        while len(self._unread) >= _FRAME_BYTES:
            frame = bytes(self._unread[:_FRAME_BYTES])
            del self._unread[:_FRAME_BYTES]
            self._elapsed_ms += _FRAME_MS
            if is_speech(frame):
                told += self._word()
        return told

    def close(self, _event: Event) -> list[Event]:
        """End the session."""
        self.ended = True
        return [self.events("session.closed")]

    def _word(self) -> list[Event]:
        elapsed_ms, word = self._elapsed_ms, next(self._target)
        told = []
        if self.session["audio"]["input"]["transcription"]:
            kind = "session.input_transcript.delta"
            told.append(self.events(kind, delta=f"{next(self._source)} ", elapsed_ms=elapsed_ms))
        told.append(self.events("session.output_transcript.delta", delta=f"{word} ", elapsed_ms=elapsed_ms))
        audio = base64.b64encode(speech.say([word], _VOICE)[0]).decode()
        sound = {"format": "pcm16", "sample_rate": SAMPLE_RATE, "channels": 1}
        told.append(self.events("session.output_audio.delta", delta=audio, elapsed_ms=elapsed_ms, **sound))
        return told

    handlers: ClassVar[Mapping[str, Handler]] = {
        "session.update": update_session,
        "session.input_audio_buffer.append": append,
        "session.close": close,
    }
