"""What all sessions share: events in, events out; an invalid event gets an ``error`` and the session goes on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from pydantic import TypeAdapter

from service.sandbox import json_text
from service.sandbox.errors import ApiError, invalid_value, missing_parameter
from service.sandbox.ids import NewId
from service.sandbox.schemas.validation import check, json_type
from service.sandbox.sessions.configuration import SESSION_SECONDS, Config
from service.sandbox.sessions.events import Event, EventFactory
from service.sandbox.sessions.scheduler import Clock, Scheduler, TimedEvents

Handler = Callable[[Any, Event], list[Event]]


class Session(Protocol):
    """A session as a transport sees it."""

    @property
    def ended(self) -> bool:
        """Whether the transport should close."""

    def open(self) -> list[Event]:
        """Return the events that greet the client."""

    def receive(self, message: str | bytes) -> list[Event]:
        """Handle one message; return what to send at once."""

    def due_in(self) -> float | None:
        """Return the seconds until there is something to send, or None if nothing is scheduled."""

    def advance(self) -> list[Event]:
        """Return all events that are due."""


class BaseSession:
    """A session without a transport.

    ``session`` is its complete configuration, ``clock`` returns monotonic seconds. A subclass has a ``schema`` of
    client events, a handler for each of them, and the ``known`` types of server events.
    """

    schema: ClassVar[TypeAdapter[Any]]
    known: ClassVar[frozenset[str]]
    handlers: ClassVar[Mapping[str, Handler]]

    def __init__(self, session: Config, *, new_id: NewId, clock: Clock) -> None:
        self.session = session
        self.ended = False
        self.new_id = new_id
        self.events = EventFactory(self.known, new_id)
        self.scheduler = Scheduler(clock)
        self.scheduler.start("expiry", self._expiry(), delay=SESSION_SECONDS)

    def open(self) -> list[Event]:
        """Return the events that greet the client."""
        return [self.events("session.created", session=self.session)]

    def receive(self, message: str | bytes) -> list[Event]:
        """Handle one message; an invalid one gets an ``error`` and changes nothing."""
        return self.read(message, self.handle)

    def read(self, message: str | bytes, handle: Callable[[Event], list[Event]]) -> list[Event]:
        """Parse a message and pass it to ``handle``; its ApiError becomes an ``error`` event."""
        event_id = None
        try:
            event = parse(message)
            event_id = event["event_id"] if isinstance(event.get("event_id"), str) else None
            return handle(event)
        except ApiError as error:
            return [self.events.error(error, event_id=event_id)]

    def handle(self, event: Event) -> list[Event]:
        """Handle one event.

        Raises:
            ApiError: if the event is invalid, or not allowed at this moment.
        """
        check(self.schema, event)
        handler = self.handlers.get(event["type"])
        if handler is None:
            message = f"The event '{event['type']}' is not allowed in a {self.session['type']} session."
            raise invalid_value(message, "type")
        return handler(self, event)

    def due_in(self) -> float | None:
        """Return the seconds until there is something to send, or None if nothing is scheduled."""
        return self.scheduler.due_in()

    def advance(self) -> list[Event]:
        """Return all events that are due."""
        return self.scheduler.advance()

    def _expiry(self) -> TimedEvents:
        self.ended = True
        minutes = SESSION_SECONDS // 60
        message = f"Your session hit the maximum duration of {minutes} minutes."
        yield [self.events.error(ApiError(message, code="session_expired"))], 0.0


def parse(message: str | bytes) -> Event:
    """Parse a message as an event.

    Raises:
        ApiError: if it is not a JSON object with a ``type``.
    """
    try:
        event = json_text.parse(message)
    except ValueError:
        raise ApiError("The message is not valid JSON.", code="invalid_json") from None
    if not isinstance(event, dict):
        text = f"Invalid type for the event: expected an object, but got {json_type(event)} instead."
        raise ApiError(text, code="invalid_type")
    if "type" not in event:
        raise missing_parameter("type")
    return event


def decode_audio(encoded: str, *, param: str = "audio") -> bytes:
    """Decode base64.

    Raises:
        ApiError: if it is not base64.
    """
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        message = f"Invalid '{param}'. Expected base64-encoded audio bytes, but got an invalid value."
        raise invalid_value(message, param) from None
