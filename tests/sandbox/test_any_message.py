"""Whatever a client sends, a session answers with valid events and goes on."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.beta.realtime import RealtimeServerEvent as BetaServerEvent
from openai.types.realtime import RealtimeServerEvent, RealtimeTranslationServerEvent
from pydantic import TypeAdapter

from tests.support.sandbox_session import Event, SessionClient, speak

_AUDIO = base64.b64encode(speak(0.3)).decode()
_MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
_TOOL = {
    "type": "function",
    "name": "look_up",
    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
}
_SPOKEN = {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.2}
_HEARD = {
    "format": {"type": "audio/pcmu"},
    "noise_reduction": {"type": "near_field"},
    "transcription": {"model": "gpt-4o-transcribe", "language": "en"},
    "turn_detection": {"type": "server_vad", "threshold": 0.4, "idle_timeout_ms": 6000},
}
_GENERATION: Event = {
    "instructions": "Be brief.",
    "output_modalities": ["audio"],
    "tools": [_TOOL],
    "tool_choice": {"type": "function", "name": "look_up"},
    "max_output_tokens": 100,
    "reasoning": {"effort": "low"},
    "prompt": {"id": "pmpt_1"},
}

_EVENTS: list[Event] = [
    {"type": "input_audio_buffer.append", "audio": _AUDIO},
    {"type": "input_audio_buffer.commit", "event_id": "mine"},
    {"type": "conversation.item.create", "item": {**_MESSAGE, "id": "mine"}, "previous_item_id": "root"},
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "call_1", "output": "1"},
    },
    {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 100},
    {"type": "conversation.item.retrieve", "item_id": "item_1"},
    {"type": "conversation.item.delete", "item_id": "item_1"},
    {"type": "response.cancel", "response_id": "resp_1"},
]
_GA_EVENTS: list[Event] = [
    *_EVENTS,
    {
        "type": "conversation.item.create",
        "item": {"type": "mcp_call", "server_label": "docs", "name": "find", "arguments": "{}", "output": "none"},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    },
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            **_GENERATION,
            "audio": {"input": _HEARD, "output": _SPOKEN},
            "tracing": {"workflow_name": "w"},
            "truncation": {"type": "retention_ratio", "retention_ratio": 0.5},
        },
    },
    {
        "type": "response.create",
        "response": {
            **_GENERATION,
            "audio": {"output": {"voice": "cedar", "format": {"type": "audio/pcma"}}},
            "conversation": "none",
            "input": [_MESSAGE, {"type": "item_reference", "id": "item_1"}],
            "metadata": {"a": "b"},
        },
    },
]  # fmt: skip
_BETA_EVENTS: list[Event] = [
    *_EVENTS,
    {
        "type": "session.update",
        "session": {
            "modalities": ["audio", "text"],
            "voice": "verse",
            "input_audio_format": "g711_ulaw",
            "turn_detection": {"type": "server_vad"},
            "temperature": 0.7,
            "tools": [_TOOL],
            "input_audio_transcription": {"model": "whisper-1"},
        },
    },
    {
        "type": "response.create",
        "response": {"modalities": ["text"], "input": [_MESSAGE], "conversation": "none"},
    },
]
_TRANSLATION_EVENTS: list[Event] = [
    {"type": "session.input_audio_buffer.append", "audio": _AUDIO},
    {
        "type": "session.update",
        "session": {
            "audio": {
                "input": {
                    "transcription": {"model": "gpt-realtime-whisper"},
                    "noise_reduction": {"type": "far_field", "strength": 0.5},
                },
                "output": {"language": "de"},
            }
        },
    },
    {"type": "session.close"},
]

_SESSIONS: dict[str, tuple[list[Event], Event, bool, TypeAdapter[Any]]] = {
    "realtime": (_GA_EVENTS, {}, False, TypeAdapter(RealtimeServerEvent)),
    "transcription": (_GA_EVENTS, {"type": "transcription"}, False, TypeAdapter(RealtimeServerEvent)),
    "translation": (
        _TRANSLATION_EVENTS,
        {"type": "translation", "model": "gpt-realtime-translate"},
        False,
        TypeAdapter(RealtimeTranslationServerEvent),
    ),
    "beta": (_BETA_EVENTS, {"model": "gpt-4o-realtime-preview"}, True, TypeAdapter(BetaServerEvent)),
}

_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 7, 1.5, 10**30, "", "x", "none", "auto", "realtime", [], {}, [None], "item_2"]
)


def _places(value: Any, above: tuple[int | str, ...] = ()) -> Iterator[tuple[int | str, ...]]:
    """Yield every location in a JSON value except the value itself."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for step, member in members:
        yield (*above, step)
        yield from _places(member, (*above, step))


@st.composite
def _messages(draw: st.DrawFn, events: list[Event]) -> list[str]:
    """Draw a few events, each with one member changed, removed or added."""
    messages = []
    for event in draw(st.lists(st.sampled_from(events), min_size=1, max_size=5)):
        changed = copy.deepcopy(event)
        *above, last = draw(
            st.sampled_from([place for place in _places(event) if place != ("type",)] or [("type",)])
        )
        holder: Any = changed
        for step in above:
            holder = holder[step]
        kind = draw(st.sampled_from(["as it is", "odd", "left out", "unknown"]))
        if kind == "odd":
            holder[last] = draw(_ODD)
        elif kind == "left out":
            del holder[last]
        elif kind == "unknown" and isinstance(holder, dict):
            holder["unheard_of"] = draw(_ODD)
        messages.append(json.dumps(changed))
    return messages


@pytest.mark.parametrize("kind", _SESSIONS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_message_gets_valid_events(kind: str, data: st.DataObject) -> None:
    """It is handled or gets an error; there is no crash and no invalid event."""
    events, config, beta, adapter = _SESSIONS[kind]
    client = SessionClient(config, beta=beta)
    client.send("conversation.item.create", item=_MESSAGE)
    for message in data.draw(_messages(events)):
        client.send_raw(message)
        client.listen(0.05)
    client.listen(20)
    for event in client.received:
        adapter.validate_python(event)
