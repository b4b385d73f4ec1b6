"""Standby: a Live session that is told to pauses after some time without speech, and speech resumes it."""

from __future__ import annotations

from service.sandbox.live.config import Config
from service.sandbox.live.dialogue import Dialogue
from service.sandbox.live.meter import Meter
from service.sandbox.live.voice import Timeline
from service.sandbox.sessions.events import Event
from service.sandbox.sessions.scheduler import TimedEvents

_IDLE = "idle"
_THRESHOLD = 0.5


class Standby:
    """The pauses of one session; ``given`` is its configuration as it was posted."""

    def __init__(self, timeline: Timeline, meter: Meter, dialogue: Dialogue, given: Config) -> None:
        self._timeline = timeline
        self._meter = meter
        self._dialogue = dialogue
        # Without a policy nothing would end a pause, so there is none.
        self._idle_seconds: int | None = given.get("idle_timeout_s") if given.get("wake_policy") else None
        self._threshold = (given.get("wake_policy") or {}).get("vad_threshold", _THRESHOLD)
        self._paused = False

    def note_activity(self) -> None:
        """Put the next pause off: somebody speaks."""
        if self._idle_seconds and not self._paused:
            self._timeline.scheduler.start(_IDLE, self._pause(), delay=self._idle_seconds)

    def wake(self) -> list[Event]:
        """End a pause, if there is one, since the user speaks."""
        if not self._paused:
            return []
        self._paused = False
        self._meter.resume()
        self._dialogue.set_threshold()
        return [self._timeline.events("session.resumed")]

    def stop(self) -> None:
        """Pause no more."""
        self._timeline.scheduler.stop(_IDLE)
        self._idle_seconds = None

    def _pause(self) -> TimedEvents:
        self._paused = True
        self._meter.pause()
        self._dialogue.set_threshold(self._threshold)
        yield [self._timeline.events("session.paused")], 0.0
