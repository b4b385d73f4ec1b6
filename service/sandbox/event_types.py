"""All event types that the sandbox sends and takes, and those of the vendor that it does not, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from service.sandbox.live import events as live
from service.sandbox.schemas.events import ConversationEvent, TranslationEvent
from service.sandbox.sessions.beta import BETA_EVENTS
from service.sandbox.sessions.events import CONVERSATION_EVENTS, TRANSLATION_EVENTS
from service.sandbox.sessions.realtime_media import OUTPUT_BUFFER_EVENTS

_NO_MCP = "the sandbox calls no MCP server"
_NO_MEDIA = "no media over a WebSocket"
_NEVER_FAILS = "a canned transcription cannot fail"
_NO_BETA_TRANSCRIPTION = "the sandbox speaks the beta in conversations only"


@dataclass(frozen=True, slots=True)
class EventTypes:
    """The event types of one API.

    ``client`` are those that the sandbox takes, ``server`` those that it sends; ``left_out`` maps the vendor's others
    to the reason.
    """

    api: str
    client: frozenset[str]
    server: frozenset[str]
    left_out: Mapping[str, str]


def _types_of(union: Any) -> frozenset[str]:
    """Return the ``type`` of each model in an annotated union."""
    models = get_args(get_args(union)[0])
    return frozenset(get_args(model.model_fields["type"].annotation)[0] for model in models)


EVENT_TYPES = (
    EventTypes(
        "realtime",
        client=_types_of(ConversationEvent),
        server=CONVERSATION_EVENTS | OUTPUT_BUFFER_EVENTS,
        left_out={
            "conversation.created": "sent by the beta only",
            "conversation.item.created": "sent by the beta only; today it is conversation.item.added",
            "conversation.item.input_audio_transcription.failed": _NEVER_FAILS,
            "conversation.item.input_audio_transcription.segment": "the sandbox tells no speakers apart",
            "input_audio_buffer.dtmf_event_received": "SIP only",
            "mcp_list_tools.completed": _NO_MCP,
            "mcp_list_tools.failed": _NO_MCP,
            "mcp_list_tools.in_progress": _NO_MCP,
            "response.mcp_call.completed": _NO_MCP,
            "response.mcp_call.failed": _NO_MCP,
            "response.mcp_call.in_progress": _NO_MCP,
            "response.mcp_call_arguments.delta": _NO_MCP,
            "response.mcp_call_arguments.done": _NO_MCP,
        },
    ),
    EventTypes("translation", client=_types_of(TranslationEvent), server=TRANSLATION_EVENTS, left_out={}),
    EventTypes(
        "live",
        client=live.CLIENT_EVENTS,
        server=live.SERVER_EVENTS,
        left_out={**live.REFUSED_CLIENT_EVENTS, **live.UNSENT_SERVER_EVENTS},
    ),
    EventTypes(
        "beta",
        client=_types_of(ConversationEvent),
        server=BETA_EVENTS,
        left_out={
            "conversation.item.input_audio_transcription.failed": _NEVER_FAILS,
            "output_audio_buffer.cleared": _NO_MEDIA,
            "output_audio_buffer.started": _NO_MEDIA,
            "output_audio_buffer.stopped": _NO_MEDIA,
            "transcription_session.update": _NO_BETA_TRANSCRIPTION,
            "transcription_session.updated": _NO_BETA_TRANSCRIPTION,
        },
    ),
)


def listing() -> Iterator[str]:
    """Yield a line for each event type: API, ``takes``, ``sends`` or ``neither``, type, and the reason for neither."""
    for types in EVENT_TYPES:
        groups: tuple[tuple[Literal["takes", "sends", "neither"], list[str]], ...] = (
            ("takes", sorted(types.client)),
            ("sends", sorted(types.server)),
            ("neither", [f"{name} ({reason})" for name, reason in sorted(types.left_out.items())]),
        )
        for group, names in groups:
            yield from (f"{types.api} {group} {name}" for name in names)
