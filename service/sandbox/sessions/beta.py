"""The retired beta on top of today's conversation: flat members in and out, and the old names of events.

Source: the vendor's beta reference, as its SDKs still carry it under ``types/beta/realtime``.
"""

from __future__ import annotations

from service.sandbox.schemas.beta import DEFAULT_TEMPERATURE, RESPONSE, SESSION
from service.sandbox.schemas.validation import check
from service.sandbox.sessions.base import BaseSession
from service.sandbox.sessions.beta_mapping import (
    check_item,
    item_from_ga,
    item_to_ga,
    response_from_ga,
    response_to_ga,
    session_from_ga,
    session_to_ga,
)
from service.sandbox.sessions.events import CONVERSATION_EVENTS, Event, EventFactory

_OLD_NAMES = {
    "conversation.item.added": "conversation.item.created",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}
_NOT_IN_BETA = frozenset({"conversation.item.done", "input_audio_buffer.timeout_triggered"})

BETA_EVENTS = frozenset(
    {"conversation.created", *(_OLD_NAMES.get(kind, kind) for kind in CONVERSATION_EVENTS - _NOT_IN_BETA)}
)
"""Types that beta sessions send."""


class BetaSession:
    """Translates between a beta client and a ``conversation`` of today's API."""

    def __init__(self, conversation: BaseSession) -> None:
        self._conversation = conversation
        self._temperature = DEFAULT_TEMPERATURE

    @property
    def ended(self) -> bool:
        """Whether the transport should close."""
        return self._conversation.ended

    def open(self) -> list[Event]:
        """Return the events that greet the client."""
        conversation = {"id": self._conversation.new_id("conv"), "object": "realtime.conversation"}
        events = EventFactory(BETA_EVENTS, self._conversation.new_id)
        created = events("conversation.created", conversation=conversation)
        return [*self._to_beta(self._conversation.open()), created]

    def receive(self, message: str | bytes) -> list[Event]:
        """Handle one message."""
        return self._conversation.read(message, self._handle)

    def due_in(self) -> float | None:
        """Return the seconds until there is something to send, or None if nothing is scheduled."""
        return self._conversation.due_in()

    def advance(self) -> list[Event]:
        """Return all events that are due."""
        return self._to_beta(self._conversation.advance())

    def _handle(self, event: Event) -> list[Event]:
        return self._to_beta(self._conversation.handle(self._to_ga(event)))

    def _to_ga(self, event: Event) -> Event:
        kind = event["type"]
        if kind == "session.update" and isinstance(event.get("session"), dict):
            check(SESSION, event["session"], root="session")
            self._temperature = event["session"].get("temperature", self._temperature)
            return {**event, "session": {"type": "realtime", **session_to_ga(event["session"])}}
        if kind == "response.create" and isinstance(event.get("response"), dict):
            check(RESPONSE, event["response"], root="response")
            return {**event, "response": response_to_ga(event["response"])}
        if kind == "conversation.item.create" and isinstance(event.get("item"), dict):
            check_item(event["item"])
            return {**event, "item": item_to_ga(event["item"])}
        return event

    def _to_beta(self, events: list[Event]) -> list[Event]:
        return [self._from_ga(event) for event in events if event["type"] not in _NOT_IN_BETA]

    def _from_ga(self, event: Event) -> Event:
        old = {**event, "type": _OLD_NAMES.get(event["type"], event["type"])}
        if old["type"] == "response.function_call_arguments.done":
            del old["name"]
        if "session" in old:
            old["session"] = session_from_ga(old["session"], temperature=self._temperature)
        if "response" in old:
            old["response"] = response_from_ga(old["response"], temperature=self._temperature)
        if "item" in old:
            old["item"] = item_from_ga(old["item"])
        return old
