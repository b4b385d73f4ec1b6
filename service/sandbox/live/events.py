"""The types of GPT-Live's events: which the sandbox sends and takes, and which it leaves out, with the reason.

Source: ``openai.types.live`` of the vendor's Python SDK, whose unions the tests hold these lists against.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from service.sandbox.errors import ApiError
from service.sandbox.ids import NewId
from service.sandbox.sessions.events import Event, EventFactory

_BACKEND = "needs a backend model of the vendor's (delegation to Responses or Decisions), which the sandbox has not got"
_SIP = "belongs to SIP, which the sandbox does not speak"

SERVER_EVENTS = frozenset(
    {
        "error",
        "info",
        "session.closed",
        "session.commentary.appended",
        "session.delegation.created",
        "session.input_audio.append",
        "session.input_audio.muted",
        "session.input_audio.unmuted",
        "session.input_transcript.delta",
        "session.instructions.appended",
        "session.output_audio.delta",
        "session.output_audio.fixture.played",
        "session.output_audio.fixture.playing",
        "session.output_transcript.delta",
        "session.paused",
        "session.resumed",
        "session.started",
        "session.thinking.appended",
        "session.updated",
        "session.usage.updated",
    }
)
"""What Live sessions send."""

REFLECTED_EVENTS = frozenset({"session.input_audio.append", "session.output_audio.delta"})
"""Audio, which sidebands hear and data channels do not: they have their tracks."""

CLIENT_EVENTS = frozenset(
    {
        "session.close",
        "session.commentary.append",
        "session.input_audio.mute",
        "session.input_audio.unmute",
        "session.instructions.append",
        "session.output_audio.fixture.play",
        "session.thinking.append",
        "session.update",
    }
)
"""What Live sessions take."""

SIDEBAND_ONLY = frozenset({"session.output_audio.fixture.play"})
"""Taken from servers alone."""

REFUSED_CLIENT_EVENTS = MappingProxyType(
    {
        "decision.create": _BACKEND,
        "decision.item.create": _BACKEND,
        "decision.item.delete": _BACKEND,
        "response.create": _BACKEND,
        "response.item.create": _BACKEND,
        "transport.dtmf.send": _SIP,
    }
)
"""What the vendor takes and the sandbox refuses, with the reason."""

UNSENT_SERVER_EVENTS = MappingProxyType(
    {
        "decision.event": _BACKEND,
        "decision.item.created": _BACKEND,
        "decision.item.deleted": _BACKEND,
        "response.event": _BACKEND,
        "transport.answered": _SIP,
        "transport.dtmf.received": _SIP,
        "transport.dtmf.send": _SIP,
        "transport.dtmf.sent": _SIP,
        "transport.failed": _SIP,
        "transport.ringing": _SIP,
    }
)
"""What the vendor sends and the sandbox does not, with the reason."""


class LiveEvents(EventFactory):
    """Builds the events of Live sessions, which name the client event that they answer."""

    def __init__(self, new_id: NewId) -> None:
        super().__init__(SERVER_EVENTS, new_id)

    def answer(self, kind: str, event_id: str | None, **members: Any) -> Event:
        """Build an event that answers a client's, if that has an id."""
        return self(kind, **members, **({} if event_id is None else {"client_event_id": event_id}))

    def error(self, error: ApiError, event_id: str | None = None) -> Event:
        """Build an ``error`` event; ``event_id`` is the id of the client event that caused it."""
        details = {**error.body, "code": error.code or "invalid_request", "client_event_id": event_id}
        return self.answer("error", event_id, error=details)
