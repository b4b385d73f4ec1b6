"""What a Live session says: one thing after another, word by word, a little ahead of what is heard."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.sandbox.audio import speech
from service.sandbox.audio.pcm import milliseconds
from service.sandbox.sessions.events import Event
from service.sandbox.sessions.media import Output
from service.sandbox.sessions.scheduler import Scheduler, TimedEvents

_LEAD_MS = 500
"""Words are made so long before they are heard, so that a busy machine does not make the voice stutter."""

_STREAM = "voice"


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something to say; ``appended_by`` is the event that asked for it, and None where nobody did."""

    text: str
    appended_by: str | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The time of one session, and what happens on it.

    ``scheduler`` runs what is told later, ``events`` builds an event of a type, ``now_ms`` tells the session's time.
    """

    scheduler: Scheduler
    events: Callable[..., Event]
    now_ms: Callable[[], int]


class Voice:
    """A queue of things to say.

    ``output`` takes the sound; ``voice`` is the vendor's name of one, or an object with an id.
    """

    def __init__(self, timeline: Timeline, output: Output, voice: str | dict[str, Any]) -> None:
        self._timeline = timeline
        self._output = output
        self._voice = voice if isinstance(voice, str) else str(voice["id"])
        self._waiting: deque[Utterance] = deque()
        self._speaking = False

    def say(self, text: str, *, appended_by: str | None = None) -> None:
        """Say something, after everything that was to be said before."""
        self._waiting.append(Utterance(text, appended_by))
        if not self._speaking:
            self._speaking = True
            self._timeline.scheduler.start(_STREAM, self._speech())

    def interrupt(self) -> None:
        """Stop what is being said at once; what waits is said after the next turn."""
        self._output.clear()
        self._timeline.scheduler.stop(_STREAM)
        self._speaking = False

    def stop(self) -> list[str]:
        """Stop at once and for good; give the events whose text was never begun."""
        self.interrupt()
        lost = [one.appended_by for one in self._waiting if one.appended_by is not None]
        self._waiting.clear()
        return lost

    def _speech(self) -> TimedEvents:
        end_ms = self._timeline.now_ms()
        while self._waiting:
            pieces = re.findall(r"\s*\S+", self._waiting.popleft().text)
            end_ms = max(end_ms, self._timeline.now_ms())
            spoken = speech.synthesize([piece.strip() for piece in pieces], self._voice)
            for piece, audio in zip(pieces, spoken, strict=True):
                start_ms, end_ms = end_ms, end_ms + milliseconds(audio)
                self._output.play(audio)
                kind = "session.output_transcript.delta"
                told = self._timeline.events(kind, delta=piece, start_ms=start_ms, end_ms=end_ms)
                yield [told], max(0, end_ms - _LEAD_MS - self._timeline.now_ms()) / 1000
            self._output.finish()
        self._speaking = False
