"""GPT-Live sessions: who may say what when, as a state machine without a connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from service.sandbox.audio.pcm import milliseconds
from service.sandbox.errors import ApiError
from service.sandbox.ids import NewId
from service.sandbox.live import config as configs
from service.sandbox.live.checks import check_update
from service.sandbox.live.config import Config
from service.sandbox.live.dialogue import Dialogue
from service.sandbox.live.events import REFUSED_CLIENT_EVENTS, LiveEvents
from service.sandbox.live.meter import PREPAID_SECONDS, Meter
from service.sandbox.live.schemas import LIVE_EVENT
from service.sandbox.live.standby import Standby
from service.sandbox.live.voice import Timeline, Voice
from service.sandbox.schemas.validation import check
from service.sandbox.sessions.base import decode_audio, parse
from service.sandbox.sessions.events import Event
from service.sandbox.sessions.media import CloseReason, EndedBy, Output, Source
from service.sandbox.sessions.scheduler import Clock, Scheduler, TimedEvents

_CLOSING_SECONDS = 0.3
"""What the vendor takes to finish a session, observed to be about half a second."""

_CONTEXT_TOKENS_A_SECOND = 20
_CONTEXT_TOKENS = 128_000
_MAX_FIXTURE_MS = 30_000


class LiveSession:
    """One session.

    ``session`` is the resolved configuration, and ``given`` the posted one; ``output`` takes the voice, and a client
    that is lost is waited for ``lost_seconds``. ``ended_by`` says what ended it: ``hangup``, ``sideband``,
    ``data_channel``, ``peer`` or ``expired``.
    """

    def __init__(
        self,
        session: Config,
        given: Config,
        *,
        new_id: NewId,
        clock: Clock,
        output: Output,
        lost_seconds: float,
    ) -> None:
        self.session = session
        self.permissions = configs.permissions(session)
        self.ended = False
        self.ended_by: EndedBy | None = None
        self._events = LiveEvents(new_id)
        self._clock = clock
        self._began = clock()
        self._scheduler = Scheduler(clock)
        self._scheduler.start("expiry", self._closing("expired", None), delay=configs.SESSION_SECONDS)
        self._lost_seconds = lost_seconds
        self._meter = Meter(clock, pauses=bool(given.get("idle_timeout_s") and given.get("wake_policy")))
        self._muted = self._is_closing = False
        self._fixture: str | None = None
        self._output = output
        timeline = Timeline(self._scheduler, self._events, self._now_ms)
        self._voice = Voice(timeline, output, session["audio"]["output"]["voice"])
        delegates = bool(given.get("delegation"))
        self._dialogue = Dialogue(session, timeline, self._voice, new_id, delegates=delegates)
        self._standby = Standby(timeline, self._meter, self._dialogue, given)

    def open(self) -> list[Event]:
        """Start: the request that creates a session starts it, whether or not a client connects."""
        return [self._events("session.started", session=self.session)]

    def connected(self) -> list[Event]:
        """Note that the client's media has arrived."""
        self._meter.start()
        self._scheduler.start("usage", self._usage(), delay=PREPAID_SECONDS)
        self._standby.note_activity()
        return []

    def channel_opened(self) -> list[Event]:
        """Tell the client what its data channel may carry, where that is not everything."""
        if not self.permissions.restricted:
            return []
        message = "This data channel may carry some events only, as the session's configuration says."
        return [self._events("info", code="data_channel_permissions", message=message)]

    def disconnected(self) -> list[Event]:
        """Note that the client is gone: the session waits a while, and ends."""
        if not self._is_closing:
            self._scheduler.start("lost", self._closing("connection_lost", "peer"), delay=self._lost_seconds)
        return []

    def end(self, by: EndedBy, reason: CloseReason = "close_requested") -> list[Event]:
        """Begin to close, and tell the reason."""
        return self._begin_closing(reason, by, None)

    def receive(self, message: str | bytes, source: Source) -> list[Event]:
        """Take one message; a bad one is answered with an ``error`` and changes nothing."""
        event_id = None
        try:
            event = parse(message)
            event_id = event["event_id"] if isinstance(event.get("event_id"), str) else None
            return self._handle(event, source)
        except ApiError as error:
            return [self._events.error(error, event_id)]

    def hear(self, pcm: bytes) -> list[Event]:
        """Hear the client's sound: 16 bits, 24 kHz, mono."""
        if self._is_closing or self._fixture is not None:
            return []
        told: list[Event] = []
        for change in self._dialogue.hear(bytes(len(pcm)) if self._muted else pcm):
            told += self._standby.wake() if change == "started" else []
            self._standby.note_activity()
        return told

    def playback(self, change: Literal["started", "stopped"]) -> list[Event]:
        """Note that the voice began or stopped to be heard."""
        self._standby.note_activity()
        if change == "started" or self._fixture is None:
            return []
        event_id, self._fixture = self._fixture, None
        return [self._events.answer("session.output_audio.fixture.played", event_id or None)]

    def on_data_channel(self, kind: str) -> bool:
        """Return whether the client may be sent events of a type."""
        return self.permissions.may_receive(kind)

    def due_in(self) -> float | None:
        """Seconds until there is something to send."""
        return self._scheduler.due_in()

    def advance(self) -> list[Event]:
        """Give out what is due by now."""
        return self._scheduler.advance()

    # What clients send.

    def _handle(self, event: Event, source: Source) -> list[Event]:
        kind = event["type"]
        if self._is_closing:
            raise ApiError("The session is closing and takes no more commands.", code="session_closing")
        if source == "data_channel" and isinstance(kind, str) and not self.permissions.may_send(kind):
            message = f"The event '{kind}' is not allowed on this data channel."
            raise ApiError(message, code="event_not_allowed", param="type")
        if isinstance(kind, str) and kind in REFUSED_CLIENT_EVENTS:
            message = f"The event '{kind}' {REFUSED_CLIENT_EVENTS[kind]}."
            raise ApiError(message, code="invalid_value", param="type")
        if kind == "session.update":
            check_update(event.get("session"))
        check(LIVE_EVENT, event)
        return self.handlers[kind](self, event, source)

    def _update(self, event: Event, _source: Source) -> list[Event]:
        given = event["session"].get("delegation")
        if given:
            self._dialogue.delegates = True
            self.session["delegation"] = configs.resolve_delegation(given, self.session["delegation"])
        return [self._events.answer("session.updated", event.get("event_id"), session=self.session)]

    def _mute(self, event: Event, _source: Source) -> list[Event]:
        self._muted = event["type"] == "session.input_audio.mute"
        return [self._events.answer(f"{event['type']}d", event.get("event_id"))]

    def _append(self, event: Event, _source: Source) -> list[Event]:
        kind, event_id = event["type"], event.get("event_id")
        if self._fixture is not None:
            raise ApiError("Nothing can be appended while an audio fixture is active.", code="invalid_value")
        if event["delegation_id"] is not None and not self._dialogue.knows(event["delegation_id"]):
            message = f"There is no delegation '{event['delegation_id']}' in this session."
            raise ApiError(message, code="invalid_value", param="delegation_id")
        at_ms = self._now_ms()
        told = [self._events.answer(f"{kind}ed", event_id, start_ms=at_ms, end_ms=at_ms)]
        if kind == "session.instructions.append":
            return told
        self._dialogue.skip_acknowledgement()
        self._voice.say(event["content"], appended_by=event_id or "")
        return told

    def _play_fixture(self, event: Event, _source: Source) -> list[Event]:
        audio = decode_audio(event["audio"])
        if not audio or milliseconds(audio) > _MAX_FIXTURE_MS:
            message = f"A fixture has 1 to {_MAX_FIXTURE_MS} ms of sound, not {milliseconds(audio)}."
            raise ApiError(message, code="invalid_value", param="audio")
        if self._fixture is not None:
            raise ApiError("Another audio fixture is active.", code="invalid_value")
        self._voice.stop()
        self._fixture = event.get("event_id") or ""
        self._output.play(audio)
        self._output.finish()
        return [self._events.answer("session.output_audio.fixture.playing", event.get("event_id"))]

    def _close(self, event: Event, source: Source) -> list[Event]:
        return self._begin_closing("close_requested", source, event.get("event_id"))

    handlers: ClassVar[Mapping[str, Callable[[LiveSession, Event, Source], list[Event]]]] = MappingProxyType(
        {
            "session.update": _update,
            "session.input_audio.mute": _mute,
            "session.input_audio.unmute": _mute,
            "session.instructions.append": _append,
            "session.thinking.append": _append,
            "session.commentary.append": _append,
            "session.output_audio.fixture.play": _play_fixture,
            "session.close": _close,
        }
    )

    # Time, usage and the end.

    def _usage(self) -> TimedEvents:
        while True:
            usage = self._meter.usage()
            ratio = min(1.0, usage["seconds"] * _CONTEXT_TOKENS_A_SECOND / _CONTEXT_TOKENS)
            window = {"usage_ratio": ratio}
            yield [self._events("session.usage.updated", usage=usage, context_window=window)], PREPAID_SECONDS

    def _begin_closing(self, reason: CloseReason, by: EndedBy, event_id: str | None) -> list[Event]:
        """Stop everything; what was appended and not spoken is told to be lost."""
        if self._is_closing:
            return []
        self.ended_by, self._is_closing = by, True
        lost = [self._incomplete(appended) for appended in self._voice.stop()]
        self._dialogue.stop()
        self._standby.stop()
        for name in ("usage", "lost"):
            self._scheduler.stop(name)
        self._scheduler.start("expiry", self._closing(reason, by, event_id), delay=_CLOSING_SECONDS)
        return lost

    def _closing(self, reason: CloseReason, by: EndedBy | None, event_id: str | None = None) -> TimedEvents:
        self.ended_by = self.ended_by or by or "expired"
        self._is_closing = self.ended = True
        self._voice.stop()
        members = {"reason": reason, "session": self.session, "usage": self._meter.usage()}
        yield [self._events.answer("session.closed", event_id, **members)], 0.0

    def _incomplete(self, event_id: str) -> Event:
        message = "The session closed before this was spoken."
        return self._events.error(ApiError(message, code="context_injection_incomplete"), event_id or None)

    def _now_ms(self) -> int:
        return round((self._clock() - self._began) * 1000)
