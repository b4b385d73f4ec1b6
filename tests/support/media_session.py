"""Sessions whose sound is on a track, without one: the clock is turned by hand, and what is played is kept."""

from __future__ import annotations

import json
from typing import Any

from service.sandbox.live.config import resolve
from service.sandbox.live.session import LiveSession
from service.sandbox.sessions import configuration
from service.sandbox.sessions.media import MediaSession, Source
from service.sandbox.sessions.realtime_media import MEDIA_SESSIONS
from tests.support.sandbox_session import Clock, Event, Ids

FRAME = 960
"""Bytes of 20 ms."""


class Speaker:
    """Where the voice goes: it plays as the clock is turned."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = 0.0
        self._began = 0.0
        self.sound = bytearray()
        self.finished = True
        self.cleared = 0

    @property
    def sounding(self) -> bool:
        return self._clock.now < self._until

    @property
    def played_ms(self) -> int:
        return round((min(self._clock.now, self._until) - self._began) * 1000)

    def play(self, pcm: bytes) -> None:
        if not self.sounding:
            self._began = self._until = self._clock.now
        self._until += len(pcm) / 48_000
        self.sound += pcm
        self.finished = False

    def begin(self) -> None:
        self.finished = True

    def finish(self) -> None:
        self.finished = True

    def clear(self) -> bool:
        was_sounding = self.sounding
        self._until, self.finished = self._clock.now, True
        self.cleared += was_sounding
        return was_sounding


class MediaClient:
    """A client of one session, and its server: it sends, speaks, turns the clock, and keeps what it is told."""

    def __init__(self, session: MediaSession, clock: Clock, speaker: Speaker) -> None:
        self.session = session
        self.clock = clock
        self.speaker = speaker
        self.received: list[Event] = session.open()

    def send(self, kind: str, source: Source = "data_channel", **members: Any) -> list[Event]:
        """Send an event; return what comes back at once."""
        return self.keep(self.session.receive(json.dumps({"type": kind, **members}), source))

    def speak(self, pcm: bytes) -> list[Event]:
        """Say something in real time; return what is told meanwhile."""
        told: list[Event] = []
        for start in range(0, len(pcm), FRAME):
            self.clock.now += 0.02
            told += self.keep(self.session.hear(pcm[start : start + FRAME]))
            told += self.keep(self.session.advance())
        return told

    def listen(self, seconds: float) -> list[Event]:
        """Turn the clock, and return what is told within so many seconds."""
        end, told = self.clock.now + seconds, []
        while (due_in := self.session.due_in()) is not None and self.clock.now + due_in <= end:
            self.clock.now += due_in
            told += self.keep(self.session.advance())
        self.clock.now = end
        return told

    def keep(self, events: list[Event]) -> list[Event]:
        self.received += events
        return events


def live_client(*, lost_seconds: float = 30.0, connected: bool = True, **config: Any) -> MediaClient:
    """Open a Live session, to which a client has connected."""
    clock = Clock()
    speaker = Speaker(clock)
    given = {"model": "gpt-live-1.1", **config}
    resolved = resolve(given, session_id="live_1", expires_at=9_000)
    session = LiveSession(
        resolved, given, new_id=Ids(), clock=clock, output=speaker, lost_seconds=lost_seconds
    )
    client = MediaClient(session, clock, speaker)
    if connected:
        client.keep(session.connected())
        client.keep(session.channel_opened())
    return client


def realtime_client(**config: Any) -> MediaClient:
    """Open a Realtime session over media."""
    clock = Clock()
    speaker = Speaker(clock)
    complete = configuration.complete({"type": "realtime", **config}, session_id="sess_1")
    session_class = MEDIA_SESSIONS[complete["type"]]
    session = session_class(complete, new_id=Ids(), clock=clock, output=speaker)
    return MediaClient(session, clock, speaker)
