"""Rules about calls: which types of session are minted for or opened, for how long, and what a live one may hold.

A live session is the one kind whose configuration binds its client: the vendor drops events that the data
channel's permissions do not list. So its permissions are the service's, and never a caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Field

from service.core.errors import ServiceError, SessionTypeNotAllowedError
from service.core.model import Action, CallType, SecretType, SessionType
from service.policy.json_path import MISSING, get, join_names, merge, put, suggest
from service.policy.request import ResolvedRequest
from service.policy.rules import Name, Rule, StrictModel, not_allowed
from service.policy.session_rules import AllowedFields, DeniedFields
from service.vendors.base import LiveLayout

MIN_CALL_SECONDS = 30
MAX_CALL_SECONDS = 7200
"""The vendor's own maximum for a live session (observed); for a conversation it is 3,600."""

Kind = TypeVar("Kind", SecretType, CallType)
CallSeconds = Annotated[int, Field(ge=MIN_CALL_SECONDS, le=MAX_CALL_SECONDS)]


class SessionTypes(Rule[tuple[Kind, ...]]):
    """The types of session that one action is allowed for. ``subject`` names in a refusal what is asked for."""

    action: ClassVar[Action]
    subject: ClassVar[str]

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        yield from self.refusals(request.action, request.session_type)

    def refusals(self, action: Action, session_type: SessionType) -> Iterator[ServiceError]:
        """Yield the refusal of a type, which needs no model to be known."""
        if action == self.action and session_type not in self.value:
            yield SessionTypeNotAllowedError(
                f"{self.subject} of type {session_type} are not available to you. {suggest(self.value)}",
                param="session.type",
            )


class SecretTypes(SessionTypes[SecretType]):
    """The types of session that client secrets are minted for."""

    parsed_as = tuple[SecretType, ...]
    words = "session types that secrets are minted for: {}"
    action = "secret"
    subject = "Client secrets for sessions"


class CallTypes(SessionTypes[CallType]):
    """The types of session that calls are opened for."""

    parsed_as = tuple[CallType, ...]
    words = "session types that calls are opened for: {}"
    action = "call"
    subject = "Calls"


class MaxCallSeconds(Rule[CallSeconds]):
    """How long a call may last. A caller who asks for more gets this much, as the contract has it."""

    parsed_as = CallSeconds
    words = "a call lasts at most {} seconds"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        del request  # a length is clamped, and never refused
        return iter(())

    def clamp(self, request: ResolvedRequest) -> ResolvedRequest:
        if request.action != "call":
            return request
        asked = request.max_call_seconds
        return replace(request, max_call_seconds=self.value if asked is None else min(asked, self.value))


class LiveMembers(AllowedFields):
    """What a caller may set in a live session, unless a policy's ``fields.allow`` says otherwise.

    Delegation to a backend model runs on the company's account, so a caller may delegate to the client only.
    """

    words = "in a live session the caller may set only: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        live = request.layout.live
        if live is None or request.session_type != "live":
            return
        yield from super().violations(request)
        if request.changed(live.delegation) not in (MISSING, "client"):
            yield not_allowed("Only delegation of type client is available to you.", live.delegation)


class ReservedLiveMembers(DeniedFields):
    """What the service itself sets in every live session."""

    words = "the service sets in a live session: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        return super().violations(request) if request.session_type == "live" else iter(())


class ServerEvent(StrictModel):
    """One type of server event; of `response.event` one type of the event inside."""

    type: Name
    response_event: Name | None = None


def _check_events(value: Any) -> Any:
    """Take ``all`` or a list of events. Checked here, since a union's errors are no sentence."""
    if value == "all":
        return value
    if not isinstance(value, list) or not all(map(_is_event, value)):
        raise ValueError('must be "all" or a list of event types, as ["session.close"]')
    return tuple(value)


def _is_event(value: Any) -> bool:
    members = {"type": value} if isinstance(value, str) else value
    known = isinstance(members, dict) and {"type"} <= set(members) <= {"type", "response_event"}
    return known and all(isinstance(text, str) and text for text in members.values())


ClientEvents = Annotated[tuple[Name, ...] | Literal["all"], BeforeValidator(_check_events)]
ServerEvents = Annotated[tuple[Name | ServerEvent, ...] | Literal["all"], BeforeValidator(_check_events)]


class DataChannel(StrictModel):
    """What a live call's client may send and receive over its data channel; the vendor enforces it."""

    client_events: ClientEvents | None = Field(
        None,
        description="Events that the client may send, or `all`. Without it: mute, unmute and close, and where the"
        " session delegates to its client also `session.thinking.append` and `session.commentary.append`.",
    )
    server_events: ServerEvents | None = Field(
        None, description="Events that the client receives, or `all`, as it is without it."
    )

    def describe(self, live: LiveLayout) -> str:
        """Say what the client may send and receive."""
        sent = live.client_events if self.client_events is None else self.client_events
        received = "all"
        if isinstance(self.server_events, tuple):
            received = join_names([_selector(event)["type"] for event in self.server_events])
        sent_in_words = sent if isinstance(sent, str) else join_names(sent)
        return f"over the data channel the client may send: {sent_in_words}; and receives: {received}"


def complete_live_session(
    session: Mapping[str, Any], live: LiveLayout, channel: DataChannel
) -> dict[str, Any]:
    """Add the members that the service sets in every live session."""
    client_events: Any = channel.client_events
    if client_events is None:
        delegates = get(session, live.delegation) == "client"
        client_events = live.client_events + (live.delegate_events if delegates else ())
    permissions: dict[str, Any] = {"allowed_client_events": _as_json(client_events, str)}
    if channel.server_events is not None:
        permissions["allowed_server_events"] = _as_json(channel.server_events, _selector)
    return put(merge(session, live.fixed), live.data_channel, permissions)


def _as_json(events: Any, write: Callable[[Any], Any]) -> Any:
    return events if events == "all" else [write(event) for event in events]


def _selector(event: str | ServerEvent) -> dict[str, str]:
    return {"type": event} if isinstance(event, str) else event.model_dump(exclude_none=True)


SecretTypesMember = Annotated[
    SecretTypes | None,
    Field(description="Types of session that secrets are minted for, beside `CLIENT_SECRET_TYPES`."),
]
CallTypesMember = Annotated[
    CallTypes | None,
    Field(description="Types of session that calls are opened for, beside `CALL_TYPES`."),
]
MaxCallSecondsMember = Annotated[
    MaxCallSeconds | None,
    Field(description="How long a call may last, in seconds; it only lowers `CALL_MAX_SECONDS` and tiers."),
]
"""Members of rules, profiles, ``defaults`` and the document alike."""
