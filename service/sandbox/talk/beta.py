"""The retired beta, as a coat over today's conversation: flat shapes in and out, and the old names of events.

Source: the vendor's beta reference, as its SDKs still carry it under ``types/beta/realtime``.
"""

from __future__ import annotations

from service.sandbox.shapes.beta import DEFAULT_TEMPERATURE, RESPONSE, SESSION
from service.sandbox.talk.channel import Channel
from service.sandbox.talk.flat import (
    item_from_ga,
    item_to_ga,
    response_from_ga,
    response_to_ga,
    session_from_ga,
    session_to_ga,
)
from service.sandbox.talk.server_events import CONVERSATION_EVENTS, Event, Events
from service.sandbox.validation import check

_OLD_NAMES = {
    "conversation.item.added": "conversation.item.created",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}
_UNKNOWN_THEN = frozenset({"conversation.item.done", "input_audio_buffer.timeout_triggered"})

BETA_EVENTS = frozenset(
    {"conversation.created", *(_OLD_NAMES.get(kind, kind) for kind in CONVERSATION_EVENTS - _UNKNOWN_THEN)}
)
"""What beta sockets send."""


class BetaChannel:
    """A conversation in the beta's words.

    Today's ``conversation`` does the work.
    """

    def __init__(self, conversation: Channel) -> None:
        self._inner = conversation
        self._temperature = DEFAULT_TEMPERATURE

    @property
    def ended(self) -> bool:
        """Whether the socket should be closed."""
        return self._inner.ended

    def open(self) -> list[Event]:
        """Greet whoever connected."""
        conversation = {"id": self._inner.new_id("conv"), "object": "realtime.conversation"}
        created = Events(BETA_EVENTS, self._inner.new_id)("conversation.created", conversation=conversation)
        return [*self._told(self._inner.open()), created]

    def receive(self, message: str | bytes) -> list[Event]:
        """Take one message."""
        return self._inner.read(message, lambda event: self._told(self._inner.handle(self._to_ga(event))))

    def due_in(self) -> float | None:
        """Seconds until there is something to send."""
        return self._inner.due_in()

    def advance(self) -> list[Event]:
        """Give out what is due by now."""
        return self._told(self._inner.advance())

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
            return {**event, "item": item_to_ga(event["item"])}
        return event

    def _told(self, events: list[Event]) -> list[Event]:
        return [self._from_ga(event) for event in events if event["type"] not in _UNKNOWN_THEN]

    def _from_ga(self, event: Event) -> Event:
        told = {**event, "type": _OLD_NAMES.get(event["type"], event["type"])}
        if told["type"] == "response.function_call_arguments.done":
            del told["name"]
        if "session" in told:
            told["session"] = session_from_ga(told["session"], temperature=self._temperature)
        if "response" in told:
            told["response"] = response_from_ga(told["response"], temperature=self._temperature)
        if "item" in told:
            told["item"] = item_from_ga(told["item"])
        return told
