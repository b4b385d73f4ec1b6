"""Server events: all types that the sandbox can send; no other type can be built.

Source: https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

from typing import Any

from service.sandbox.errors import ApiError
from service.sandbox.ids import NewId

Event = dict[str, Any]
"""An event as JSON."""

CONVERSATION_EVENTS = frozenset(
    {
        "conversation.item.added",
        "conversation.item.deleted",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.retrieved",
        "conversation.item.truncated",
        "error",
        "input_audio_buffer.cleared",
        "input_audio_buffer.committed",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.timeout_triggered",
        "rate_limits.updated",
        "response.content_part.added",
        "response.content_part.done",
        "response.created",
        "response.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.done",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "response.output_text.done",
        "session.created",
        "session.updated",
    }
)
"""Types that conversations and transcriptions send."""

TRANSLATION_EVENTS = frozenset(
    {
        "error",
        "session.closed",
        "session.created",
        "session.input_transcript.delta",
        "session.output_audio.delta",
        "session.output_transcript.delta",
        "session.updated",
    }
)
"""Types that translations send."""


class EventFactory:
    """Builds server events of the types in ``known``, each with a new event id."""

    def __init__(self, known: frozenset[str], new_id: NewId) -> None:
        self._known = known
        self._new_id = new_id

    def __call__(self, kind: str, **members: Any) -> Event:
        """Build an event of a type.

        Raises:
            LookupError: if the type is not a known one.
        """
        if kind not in self._known:
            raise LookupError(f"{kind} is not an event of this session")
        return {"type": kind, "event_id": self._new_id("event"), **members}

    def error(self, error: ApiError, *, event_id: str | None = None) -> Event:
        """Build an ``error`` event; ``event_id`` is the id of the client event that caused it."""
        return self("error", error={**error.body, "event_id": event_id})
