"""Realtime sessions over media: the events stay, and what they said in base64 becomes sound."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Mapping
from typing import ClassVar, Literal

from service.sandbox.audio import pcm
from service.sandbox.ids import NewId
from service.sandbox.sessions.base import BaseSession, Handler
from service.sandbox.sessions.configuration import Config
from service.sandbox.sessions.conversation import Conversation
from service.sandbox.sessions.events import CONVERSATION_EVENTS, Event
from service.sandbox.sessions.listening import Transcription
from service.sandbox.sessions.media import CloseReason, EndedBy, Output, Source
from service.sandbox.sessions.scheduler import Clock
from service.sandbox.sessions.translation import Translation

OUTPUT_BUFFER_EVENTS = frozenset(
    {"output_audio_buffer.cleared", "output_audio_buffer.started", "output_audio_buffer.stopped"}
)
"""Types that conversations send over WebRTC and SIP alone."""


class RealtimeMedia(BaseSession):
    """What the three types of Realtime sessions have in common over WebRTC."""

    def __init__(self, session: Config, *, new_id: NewId, clock: Clock, output: Output) -> None:
        super().__init__(session, new_id=new_id, clock=clock)
        self.output = output
        self.ended_by: EndedBy | None = None

    def connected(self) -> list[Event]:
        """Handle that media flows: nothing depends on it."""
        return []

    def channel_opened(self) -> list[Event]:
        """Return what the data channel alone is told when it opens: nothing."""
        return []

    def hear(self, audio: bytes) -> list[Event]:
        """Handle sound (16 bits, 24 kHz, mono), as the type of session does."""
        raise NotImplementedError

    def disconnected(self) -> list[Event]:
        """End at once: the vendor ends a Realtime call with its peer connection."""
        return self.end("peer")

    def end(self, by: EndedBy, _reason: CloseReason = "close_requested") -> list[Event]:
        """End the session; the vendor says nothing more then."""
        self.ended, self.ended_by = True, self.ended_by or by
        return []

    def receive(self, message: str | bytes, source: Source = "data_channel") -> list[Event]:
        """Handle a message."""
        events = self.voiced(super().receive(message))
        if self.ended:
            self.ended_by = self.ended_by or source
        return events

    def advance(self) -> list[Event]:
        """Return all events that are due."""
        return self.voiced(super().advance())

    def playback(self, change: Literal["started", "stopped"]) -> list[Event]:
        """Handle that the voice began or stopped to be heard: nobody is told."""
        del change
        return []

    def on_data_channel(self, _kind: str) -> bool:
        """Return whether events of a type go to the client: all do."""
        return True

    def voiced(self, events: list[Event]) -> list[Event]:
        """Turn audio events into sound, and return the others."""
        for event in events:
            if event["type"] == "session.output_audio.delta":
                self.output.play(base64.b64decode(event["delta"]))
                self.output.finish()
        return [event for event in events if not event["type"].endswith("output_audio.delta")]


class MediaTranscription(RealtimeMedia, Transcription):
    """A transcription of a microphone."""

    def hear(self, audio: bytes) -> list[Event]:
        """Find turns, and write them down."""
        return Transcription.hear(self, audio)


class MediaTranslation(RealtimeMedia, Translation):
    """A translation whose translated speech is on the track."""

    def hear(self, audio: bytes) -> list[Event]:
        """Translate sound into sound."""
        return self.voiced(Translation.hear(self, audio))


class MediaConversation(RealtimeMedia, Conversation):
    """A conversation by voice: the sandbox knows what was heard of an answer, and says so."""

    known = CONVERSATION_EVENTS | OUTPUT_BUFFER_EVENTS
    real_time = True

    def __init__(self, session: Config, *, new_id: NewId, clock: Clock, output: Output) -> None:
        super().__init__(session, new_id=new_id, clock=clock, output=output)
        self._formats: dict[str, str] = {}
        self._sounding: tuple[str, str] | None = None  # the response and the item that are heard
        self._is_over = False  # it was heard to its end
        self._queued: deque[tuple[str, str]] = deque()  # those whose sound follows
        self._silenced = ""

    def hear(self, audio: bytes) -> list[Event]:
        """Find turns, and answer them."""
        return self.voiced(Conversation.hear(self, audio))

    def voiced(self, events: list[Event]) -> list[Event]:
        """Turn audio events into sound; stop the sound of a response that was cancelled."""
        kept: list[Event] = []
        for event in events:
            kind = event["type"]
            if kind == "response.output_audio.delta":
                self._play(event)
                continue
            kept.append(event)
            if kind == "response.created":
                response = event["response"]
                self._formats[response["id"]] = response["audio"]["output"]["format"]["type"]
            elif kind == "response.output_audio.done":
                self.output.finish()
            elif kind == "response.done":
                self._formats.pop(event["response"]["id"], None)
                if event["response"]["status"] == "cancelled" and self._is_heard(event["response"]["id"]):
                    kept += self._cut()
        return kept

    def playback(self, change: Literal["started", "stopped"]) -> list[Event]:
        """Tell that the voice began or stopped to be heard."""
        if change == "stopped":
            self._is_over = True
        elif self._is_over and self._queued:
            self._sounding, self._is_over = self._queued.popleft(), False
        if self._sounding is None:
            return []
        return [self.events(f"output_audio_buffer.{change}", response_id=self._sounding[0])]

    def on_speech(self) -> list[Event]:
        """Let the user interrupt what is heard, which may be longer than it takes to generate it."""
        interrupts = (self.turn_detection or {}).get("interrupt_response")
        return [*super().on_speech(), *(self._cut() if interrupts else [])]

    def cancel_response(self, event: Event) -> list[Event]:
        """Cancel a response; the rest of one that was generated already is cut off."""
        if self._active_response() is None and self.output.sounding:
            return self._cut()
        return super().cancel_response(event)

    def clear_output(self, _event: Event) -> list[Event]:
        """Cut off the sound of the current response, of which more may be generated."""
        if self._sounding is None or not self.output.sounding:
            return []
        self._silenced, _ = self._queued[-1] if self._queued else self._sounding
        return self._cut()

    def _play(self, event: Event) -> None:
        if event["response_id"] == self._silenced:
            return
        sound = event["response_id"], event["item_id"]
        if not self.output.sounding:
            self._sounding, self._is_over = sound, False
            self._queued.clear()
        elif sound != self._sounding and sound not in self._queued:
            self._queued.append(sound)
            self.output.begin()
        encoding = self._formats.get(event["response_id"], "audio/pcm")
        self.output.play(pcm.decode(base64.b64decode(event["delta"]), encoding))

    def _is_heard(self, response_id: str) -> bool:
        """Return whether a response is the one that is heard, or follows it."""
        return any(response_id == sound[0] for sound in (self._sounding, *self._queued) if sound)

    def _cut(self) -> list[Event]:
        """Stop the sound at once, and forget what was not heard of it, and of those that follow."""
        heard_ms, following = self.output.played_ms, list(self._queued)
        self._queued.clear()
        if not self.output.clear() or self._sounding is None:
            return []
        response_id, item_id = self._sounding
        told = [self.events("output_audio_buffer.cleared", response_id=response_id)]
        told += self._forget_unheard(item_id, heard_ms)
        for _, unheard in following:
            told += self._forget_unheard(unheard, 0)
        return told

    def _forget_unheard(self, item_id: str, heard_ms: int) -> list[Event]:
        audio = self.items.audio.get(item_id)
        if not audio or all(item["id"] != item_id for item in self.items):
            return []
        end_ms = min(heard_ms, pcm.milliseconds(audio))
        return self.truncate_item({"item_id": item_id, "content_index": 0, "audio_end_ms": end_ms})

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Conversation.handlers,
        "output_audio_buffer.clear": clear_output,
        "response.cancel": cancel_response,
    }


MEDIA_SESSIONS: Mapping[str, type[RealtimeMedia]] = {
    "realtime": MediaConversation,
    "transcription": MediaTranscription,
    "translation": MediaTranslation,
}
"""By the type that a session's configuration names."""
