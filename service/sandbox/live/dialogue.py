"""What a Live session makes of speech: a transcript, and an answer by voice or a delegation.

Nothing of it listens to words: what the user said is told as its length. Speech of some length is taken for a request
for work where the session names client delegation, so that an application's side of it can be tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from service.sandbox.audio.input_buffer import InputBuffer, Turn, speech_ms
from service.sandbox.ids import NewId
from service.sandbox.live import config as configs
from service.sandbox.live.config import Config
from service.sandbox.live.voice import Timeline, Voice
from service.sandbox.sessions import replies
from service.sandbox.sessions.events import Event
from service.sandbox.sessions.scheduler import TimedEvents

_VAD: Mapping[str, Any] = MappingProxyType(
    {"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
)
_WORK_MS = 1500
_ACKNOWLEDGEMENT = "Let me look into that."
_TRANSCRIPT_SECONDS = 0.02
_ACKNOWLEDGING, _ANSWERING = "acknowledgement", "turn"


class Dialogue:
    """The conversation of one session.

    ``session`` is its configuration; ``delegates`` says whether work is handed to the application.
    """

    def __init__(
        self, session: Config, timeline: Timeline, voice: Voice, new_id: NewId, *, delegates: bool
    ) -> None:
        self.delegates = delegates
        self._session = session
        self._timeline = timeline
        self._voice = voice
        self._new_id = new_id
        self._delegations: set[str] = set()
        self._buffer = InputBuffer(dict(_VAD))
        self._began_ms = 0
        self._has_answered = False

    def set_threshold(self, threshold: float | None = None) -> None:
        """Set how loud speech has to be, from 0 to 1, or as loud as usual."""
        self._buffer.configure(dict(_VAD) if threshold is None else {**_VAD, "threshold": threshold})

    def knows(self, delegation_id: str) -> bool:
        """Return whether a delegation was made in this session."""
        return delegation_id in self._delegations

    def hear(self, pcm: bytes) -> list[str]:
        """Hear sound (16 bits, 24 kHz, mono); return which of ``started`` and ``stopped`` happened to speech."""
        turns = self._buffer.append(pcm)
        for turn in turns:
            if turn.kind == "started":
                self._speech_began()
            else:
                self._speech_ended(turn)
        return [turn.kind for turn in turns]

    def skip_acknowledgement(self) -> None:
        """Say nothing about work that is being done: there is something better to say."""
        self._timeline.scheduler.stop(_ACKNOWLEDGING)

    def stop(self) -> None:
        """Answer nothing more."""
        self._timeline.scheduler.stop(_ACKNOWLEDGING)
        self._timeline.scheduler.stop(_ANSWERING)

    def _speech_began(self) -> None:
        """Stop talking at once."""
        self._began_ms = self._timeline.now_ms()
        self.skip_acknowledgement()
        self._voice.interrupt()

    def _speech_ended(self, turn: Turn) -> None:
        spoken_ms, end_ms = speech_ms(turn.audio), self._timeline.now_ms()
        self._timeline.scheduler.start(_ANSWERING, self._turn(spoken_ms, min(self._began_ms, end_ms), end_ms))

    def _turn(self, spoken_ms: int, start_ms: int, end_ms: int) -> TimedEvents:
        """Write down what was heard, word by word, and answer it."""
        transcript = f"I spoke to you for {spoken_ms / 1000:.1f} seconds."
        words = transcript.split(" ")
        step = (end_ms - start_ms) / len(words)
        for index, word in enumerate(words):
            delta = word if index == 0 else f" {word}"
            times = {
                "start_ms": start_ms + round(index * step),
                "end_ms": start_ms + round((index + 1) * step),
            }
            yield (
                [self._timeline.events("session.input_transcript.delta", delta=delta, **times)],
                _TRANSCRIPT_SECONDS,
            )
        if self.delegates and spoken_ms >= _WORK_MS:
            yield [self._delegated()], 0.0
        else:
            self._voice.say(self._answer_to(transcript))
            yield [], 0.0

    def _delegated(self) -> Event:
        delegation_id = self._new_id("dlg")
        self._delegations.add(delegation_id)
        delay = self._session["delegation"]["acknowledgement_delay_ms"] / 1000
        self._timeline.scheduler.start(_ACKNOWLEDGING, self._acknowledgement(), delay=delay)
        delegation = {"id": delegation_id, "type": "delegation", "target": "client"}
        return self._timeline.events(
            "session.delegation.created", delegation=delegation, offset_ms=self._timeline.now_ms()
        )

    def _acknowledgement(self) -> TimedEvents:
        self._voice.say(_ACKNOWLEDGEMENT)
        yield [], 0.0

    def _answer_to(self, transcript: str) -> str:
        own = self._session["instructions"]
        history = [{"role": one["role"], "content": one["content"]} for one in self._session["input"]]
        before = [{"role": "assistant", "content": []}] if self._has_answered else []
        self._has_answered = True
        question = replies.Question(
            context=[*history, *before, {"role": "user", "content": [{"text": transcript}]}],
            asked="",
            instructions="" if own == configs.DEFAULT_INSTRUCTIONS else own,
            tools=[],
            tool_choice="none",
        )
        reply = replies.reply_to(question)
        return reply.text if isinstance(reply, replies.TextReply) else ""
