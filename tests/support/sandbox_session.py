"""Sessions of the sandbox without a transport, with a manual clock and numbered ids."""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import Any

from service.sandbox.audio import speech
from service.sandbox.opening import Session
from service.sandbox.sessions import configuration
from service.sandbox.sessions.base import BaseSession
from service.sandbox.sessions.beta import BetaSession
from service.sandbox.sessions.conversation import Conversation
from service.sandbox.sessions.listening import Transcription
from service.sandbox.sessions.translation import Translation

Event = dict[str, Any]

_SESSION_CLASSES: dict[str, type[BaseSession]] = {
    "realtime": Conversation,
    "transcription": Transcription,
    "translation": Translation,
}

SILENCE = bytes(48 * 1000)
"""One second of it."""


def speak(seconds: float) -> bytes:
    """Return speech of about that length, loud enough for turn detection."""
    voice = b"".join(speech.synthesize(["banana"] * (int(seconds * 2) + 2), "alloy"))
    return voice[: int(seconds * 24_000) * 2]


class Clock:
    """A clock that only tests advance."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Ids:
    """Counts: ``item_1``, ``item_2`` and so on."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __call__(self, prefix: str) -> str:
        self._counts[prefix] += 1
        return f"{prefix}_{self._counts[prefix]}"


class SessionClient:
    """A client of one session: it sends events, advances the clock, and keeps all events that it receives."""

    def __init__(self, config: Event | None = None, *, beta: bool = False) -> None:
        config = {"type": "realtime", **(config or {})}
        ids = Ids()
        kind = config["type"]
        session = configuration.complete(config, session_id=ids("sess")) | {"expires_at": 4_600}
        self.clock = Clock()
        channel = _SESSION_CLASSES[kind](session, new_id=ids, clock=self.clock)
        self.session: Session = BetaSession(channel) if beta else channel
        self.received: list[Event] = self.session.open()

    def send(self, kind: str, **members: Any) -> list[Event]:
        """Send an event; return what comes back at once."""
        return self.send_raw(json.dumps({"type": kind, **members}))

    def send_raw(self, message: str | bytes) -> list[Event]:
        """Send a message as it is."""
        events = self.session.receive(message)
        self.received += events
        return events

    def say(self, text: str) -> list[Event]:
        """Put a user's message into the conversation."""
        content = [{"type": "input_text", "text": text}]
        return self.send(
            "conversation.item.create", item={"type": "message", "role": "user", "content": content}
        )

    def append(
        self, pcm: bytes, *, kind: str = "input_audio_buffer.append", piece: int = 9600
    ) -> list[Event]:
        """Send audio in pieces, as a microphone does."""
        events: list[Event] = []
        for start in range(0, len(pcm), piece):
            events += self.send(kind, audio=base64.b64encode(pcm[start : start + piece]).decode())
        return events

    def ask(self, **response: Any) -> list[Event]:
        """Ask for a response and wait for its end."""
        return [*self.send("response.create", response=response), *self.listen()]

    def listen(self, seconds: float = 60.0) -> list[Event]:
        """Advance the clock by so many seconds; return the events that are due."""
        end, events = self.clock.now + seconds, []
        while (due_in := self.session.due_in()) is not None and self.clock.now + due_in <= end:
            self.clock.now += due_in
            events += self.session.advance()
        self.clock.now = end
        self.received += events
        return events


def kinds(events: list[Event]) -> list[str]:
    """Return the types of events in order, each run of equal ones once."""
    return [
        event["type"]
        for before, event in zip([{"type": ""}, *events], events, strict=False)
        if before["type"] != event["type"]
    ]


def one(events: list[Event], kind: str) -> Event:
    """Return the single event of a type."""
    found = [event for event in events if event["type"] == kind]
    assert len(found) == 1, f"{len(found)} of {kind} in {kinds(events)}"
    return found[0]


def error_of(events: list[Event]) -> Event:
    """Return the error, which must be the only event."""
    assert kinds(events) == ["error"], kinds(events)
    error: Event = events[0]["error"]
    return error
