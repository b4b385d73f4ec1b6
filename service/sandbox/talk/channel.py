"""What all sockets have in common: events in, events out, errors that leave the socket open."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import TypeAdapter

from service.sandbox.ids import NewId
from service.sandbox.refusal import Refusal, missing
from service.sandbox.talk.agenda import Agenda, Clock, Steps
from service.sandbox.talk.server_events import Event, Events
from service.sandbox.talk.sessions import SESSION_SECONDS, Config
from service.sandbox.validation import check, named

Handler = Callable[[Any, Event], list[Event]]


class Channel:
    """A session over some socket, as a state machine without one.

    ``session`` is its complete configuration; ``new_id`` names what it makes, and ``clock`` paces what it says.
    """

    shape: ClassVar[TypeAdapter[Any]]
    known: ClassVar[frozenset[str]]
    handlers: ClassVar[Mapping[str, Handler]]

    def __init__(self, session: Config, *, new_id: NewId, clock: Clock) -> None:
        self.session = session
        self.ended = False
        self.new_id = new_id
        self.events = Events(self.known, new_id)
        self.agenda = Agenda(clock)
        self.agenda.start("expiry", self._expiry(), delay=SESSION_SECONDS)

    def open(self) -> list[Event]:
        """Greet whoever connected."""
        return [self.events("session.created", session=self.session)]

    def receive(self, message: str | bytes) -> list[Event]:
        """Take one message; a bad one is answered with an ``error`` and changes nothing."""
        return self.read(message, self.handle)

    def read(self, message: str | bytes, handle: Callable[[Event], list[Event]]) -> list[Event]:
        """Let ``handle`` take the event that a message holds; what it refuses becomes an ``error``."""
        event_id = None
        try:
            event = parse(message)
            event_id = event["event_id"] if isinstance(event.get("event_id"), str) else None
            return handle(event)
        except Refusal as refusal:
            return [self.events.error(refusal, event_id=event_id)]

    def handle(self, event: Event) -> list[Event]:
        """Take one event.

        Raises:
            Refusal: where it is not a valid one, or comes at the wrong moment.
        """
        check(self.shape, event)
        handler = self.handlers.get(event["type"])
        if handler is None:
            message = f"The event '{event['type']}' is not allowed in a {self.session['type']} session."
            raise Refusal(message, code="invalid_value", param="type")
        return handler(self, event)

    def due_in(self) -> float | None:
        """Seconds until there is something to send."""
        return self.agenda.due_in()

    def advance(self) -> list[Event]:
        """Give out what is due by now."""
        return self.agenda.advance()

    def _expiry(self) -> Steps:
        self.ended = True
        minutes = SESSION_SECONDS // 60
        message = f"Your session hit the maximum duration of {minutes} minutes."
        yield [self.events.error(Refusal(message, code="session_expired"))], 0.0


def parse(message: str | bytes) -> Event:
    """Read a message as an event.

    Raises:
        Refusal: where it is not a JSON object with a ``type``.
    """
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        raise Refusal("The message is not valid JSON.", code="invalid_json") from None
    if not isinstance(event, dict):
        raise Refusal(
            f"Invalid type for the event: expected an object, but got {named(event)} instead.",
            code="invalid_type",
        )
    if "type" not in event:
        raise missing("type")
    return event


def decode_audio(encoded: str, *, param: str = "audio") -> bytes:
    """Read base64.

    Raises:
        Refusal: where it is none.
    """
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        message = f"Invalid '{param}'. Expected base64-encoded audio bytes, but got an invalid value."
        raise Refusal(message, code="invalid_value", param=param) from None
