"""All events of the sandbox, validated against the vendor's published types in strict mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, get_args

import pytest
from openai.types.beta import realtime as beta_types
from openai.types.live import ConnectClientEvent, ConnectServerEvent
from openai.types.realtime import (
    ClientSecretCreateResponse,
    RealtimeClientEvent,
    RealtimeServerEvent,
    RealtimeSessionCreateResponse,
    RealtimeTranscriptionSessionCreateResponse,
    RealtimeTranslationClientEvent,
    RealtimeTranslationClientSecretCreateResponse,
    RealtimeTranslationServerEvent,
)
from pydantic import BaseModel, TypeAdapter

from service.sandbox.credentials import SecretStore
from service.sandbox.event_types import EVENT_TYPES
from service.sandbox.ids import new_id
from service.sandbox.live.session import LiveSession
from service.sandbox.minting import Minter
from service.sandbox.sessions.beta import BETA_EVENTS
from service.sandbox.sessions.conversation import Conversation
from service.sandbox.sessions.events import CONVERSATION_EVENTS, TRANSLATION_EVENTS, EventFactory
from service.sandbox.sessions.translation import Translation
from tests.support.forks import run_command
from tests.support.processes import bare_environ
from tests.support.sandbox_session import SILENCE, Event, SessionClient, one, speak

_GA: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
_TRANSLATION: TypeAdapter[Any] = TypeAdapter(RealtimeTranslationServerEvent)
_BETA: TypeAdapter[Any] = TypeAdapter(beta_types.RealtimeServerEvent)

_SESSION_EVENT_EXTRAS = {"session.id", "session.object", "session.expires_at"}
"""The vendor sends these on session events, and types them only on the mint's answer, where they are held too."""

_BETA_SESSION_EXTRAS = {"session.object"}

_TOOL = {
    "type": "function",
    "name": "look_up",
    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
}
_APPROVAL = {"server_label": "docs", "name": "find", "arguments": "{}"}
_LISTENING = {
    "transcription": {"model": "gpt-4o-transcribe", "language": "en"},
    "noise_reduction": {"type": "near_field"},
    "turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000},
}


def _text_turn() -> list[Event]:
    client = SessionClient(
        {
            "tools": [_TOOL],
            "tracing": "auto",
            "truncation": {"type": "retention_ratio", "retention_ratio": 0.5},
        }
    )
    client.say("Hello")
    client.ask(output_modalities=["text"], metadata={"topic": "greeting"})
    return client.received


def _audio_turn_and_its_item() -> list[Event]:
    client = SessionClient(
        {"audio": {"output": {"voice": {"id": "voice_1"}, "format": {"type": "audio/pcmu"}}}}
    )
    item = one(client.ask(), "response.output_item.done")["item"]
    client.send("conversation.item.retrieve", item_id=item["id"])
    client.send("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=500)
    client.send("conversation.item.delete", item_id=item["id"])
    return client.received


def _function_call() -> list[Event]:
    client = SessionClient({"tools": [_TOOL], "tool_choice": {"type": "function", "name": "look_up"}})
    call = one(client.ask(), "response.output_item.done")["item"]
    client.send(
        "conversation.item.create",
        item={"type": "function_call_output", "call_id": call["call_id"], "output": '{"found": 1}'},
    )
    client.ask(tool_choice="none", output_modalities=["text"])
    return client.received


def _limited_and_cancelled() -> list[Event]:
    client = SessionClient({"max_output_tokens": 20})
    client.ask()
    client.send("response.create", response={"max_output_tokens": "inf"})
    client.listen(0.1)
    client.send("response.cancel")
    client.listen()
    client.ask(conversation="none", input=[])
    return client.received


def _turns() -> list[Event]:
    client = SessionClient(
        {"audio": {"input": _LISTENING}, "include": ["item.input_audio_transcription.logprobs"]}
    )
    client.append(speak(1) + SILENCE)
    client.listen(0.2)
    client.append(speak(1))
    client.append(SILENCE)
    client.listen(30)
    return client.received


def _updates_errors_and_commits() -> list[Event]:
    client = SessionClient()
    client.send(
        "session.update",
        session={
            "type": "realtime",
            "instructions": "Be brief.",
            "tool_choice": "required",
            "tracing": {"workflow_name": "tests", "metadata": {"a": "b"}},
            "audio": {
                "input": {"turn_detection": {"type": "semantic_vad"}, "transcription": {"model": "whisper-1"}}
            },
        },
    )
    client.send("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
    client.append(speak(1))
    client.send("input_audio_buffer.commit")
    client.send("input_audio_buffer.clear")
    client.send("nonsense", event_id="event_of_mine")
    client.send_raw("{")
    client.listen()
    for message in (
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I am."}]},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_image", "image_url": "data:image/png;base64,"}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA"}]},
        {"type": "function_call", "name": "look_up", "arguments": "{}"},
        {"type": "mcp_list_tools", "server_label": "docs", "tools": [{"name": "find", "input_schema": {}}]},
        {"type": "mcp_call", "server_label": "docs", "name": "find", "arguments": "{}", "output": "none"},
        {**_APPROVAL, "type": "mcp_approval_request", "id": "mcpr_1"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": False},
    ):
        client.send("conversation.item.create", item=message, previous_item_id="root")
    return client.received


def _transcription() -> list[Event]:
    client = SessionClient(
        {"type": "transcription", "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}
    )
    client.send("session.update", session={"type": "transcription", "include": []})
    client.append(speak(1) + SILENCE)
    client.listen()
    return client.received


def _expiry() -> list[Event]:
    client = SessionClient()
    client.listen(3601)
    assert client.session.ended
    return client.received


_CONVERSATIONS = (
    _text_turn,
    _audio_turn_and_its_item,
    _function_call,
    _limited_and_cancelled,
    _turns,
    _updates_errors_and_commits,
    _transcription,
    _expiry,
)


def _translation() -> list[Event]:
    client = SessionClient(
        {
            "type": "translation",
            "model": "gpt-realtime-translate",
            "audio": {
                "input": {"transcription": {"model": "gpt-realtime-whisper"}},
                "output": {"language": "de"},
            },
        }
    )
    client.append(speak(2), kind="session.input_audio_buffer.append")
    client.send(
        "session.update",
        session={
            "audio": {"output": {"language": "fr"}, "input": {"noise_reduction": {"type": "far_field"}}}
        },
    )
    client.send("response.create")
    client.send("session.close")
    return client.received


def _unknown_members(value: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted paths of all members that the vendor's types do not know."""
    if isinstance(value, BaseModel):
        for name in value.model_extra or {}:
            yield f"{path}.{name}".lstrip(".")
        for name in type(value).model_fields:
            yield from _unknown_members(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _unknown_members(member, f"{path}[{index}]")


def _hold(adapter: TypeAdapter[Any], event: Event, *, extras: AbstractSet[str] = frozenset()) -> None:
    validated = adapter.validate_python(event, strict=True)
    assert validated.type == event["type"]
    assert set(_unknown_members(validated)) - extras == set(), event


@pytest.mark.parametrize("walk", _CONVERSATIONS, ids=lambda walk: walk.__name__.strip("_"))
def test_conversations_send_only_what_the_vendor_publishes(walk: Callable[[], list[Event]]) -> None:
    """Every event is valid in strict mode and has no member that the types do not know."""
    for event in walk():
        about_session = event["type"].startswith("session.")
        _hold(_GA, event, extras=_SESSION_EVENT_EXTRAS if about_session else set())
        if about_session:
            _hold_session(event["session"])


def _hold_session(session: Event) -> None:
    kind: type[BaseModel] = RealtimeSessionCreateResponse
    if session["type"] == "transcription":
        kind = RealtimeTranscriptionSessionCreateResponse
    assert set(_unknown_members(kind.model_validate(session, strict=True))) == set()


def test_translations_send_only_what_the_vendor_publishes() -> None:
    """The same for the translations' own family of events."""
    for event in _translation():
        _hold(_TRANSLATION, event)


@pytest.mark.parametrize("modalities", [["text"], ["audio", "text"]])
def test_the_beta_sends_only_what_the_vendor_published_then(modalities: list[str]) -> None:
    """Today's events, converted to the beta's, are valid by the types that the SDK still has."""
    for event in _beta(modalities):
        extras = _BETA_SESSION_EXTRAS if event["type"].startswith("session.") else set()
        _hold(_BETA, event, extras=extras)


def _beta(modalities: list[str]) -> list[Event]:
    client = SessionClient({"model": "gpt-4o-realtime-preview-2024-12-17"}, beta=True)
    written = {"model": "whisper-1"}
    client.send("session.update", session={"modalities": modalities, "input_audio_transcription": written})
    client.say("Hello")
    item = one(client.ask(instructions="Give me a haiku about code."), "response.output_item.done")["item"]
    client.send("conversation.item.retrieve", item_id=item["id"])
    client.send("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=10)
    client.send("conversation.item.delete", item_id=item["id"])
    client.ask(tools=[_TOOL], tool_choice="required", max_response_output_tokens=2000)
    client.append(speak(1) + SILENCE)
    client.listen()
    client.send("input_audio_buffer.clear")
    client.send("response.cancel")
    return client.received


def test_the_walk_meets_every_event_that_can_be_built() -> None:
    """An event that no walk meets would go unchecked; one that is not registered cannot be built."""
    sent = {event["type"] for walk in _CONVERSATIONS for event in walk()}
    assert sent == CONVERSATION_EVENTS
    assert {event["type"] for event in _translation()} == TRANSLATION_EVENTS
    assert {event["type"] for given in (["text"], ["audio", "text"]) for event in _beta(given)} == BETA_EVENTS
    with pytest.raises(LookupError, match="not an event of this session"):
        EventFactory(CONVERSATION_EVENTS, new_id)("session.closed")


@pytest.mark.parametrize(
    ("kind", "session", "answer"),
    [
        (
            "mint",
            {"type": "realtime", "tools": [_TOOL], "audio": {"output": {"voice": {"id": "voice_1"}}}},
            ClientSecretCreateResponse,
        ),
        ("mint", {"type": "transcription", "audio": {"input": _LISTENING}}, ClientSecretCreateResponse),
        (
            "mint_translation",
            {"model": "gpt-realtime-translate"},
            RealtimeTranslationClientSecretCreateResponse,
        ),
    ],
)
def test_mints_answer_what_the_vendor_publishes(kind: str, session: Event, answer: type[BaseModel]) -> None:
    """The answers of both minting routes are valid in strict mode, too."""
    minted = getattr(Minter(SecretStore(lambda: 0.0), new_id), kind)({"session": session})
    assert set(_unknown_members(answer.model_validate(minted, strict=True))) == set()


_SDK_TYPES = {
    "realtime": (RealtimeClientEvent, RealtimeServerEvent),
    "translation": (RealtimeTranslationClientEvent, RealtimeTranslationServerEvent),
    "live": (ConnectClientEvent, ConnectServerEvent),
    "beta": (beta_types.RealtimeClientEvent, beta_types.RealtimeServerEvent),
}


def _types_in(union: Any) -> set[str]:
    """The ``type`` of every model in a union, however nested."""
    found: set[str] = set()
    for member in get_args(union):
        fields = getattr(member, "model_fields", None)
        found |= set(get_args(fields["type"].annotation)) if fields else _types_in(member)
    return found


def test_each_event_type_of_the_sdk_is_sent_or_taken_or_left_out_with_a_reason() -> None:
    """And no other; what is left out says why."""
    for types in EVENT_TYPES:
        client, server = map(_types_in, _SDK_TYPES[types.api])
        left_out = types.left_out.keys()
        assert types.client | (left_out & client) == client
        assert types.server | (left_out & server) == server
        assert left_out <= client | server
        assert not left_out & (types.client | types.server)
        assert all(types.left_out.values())


def test_one_command_lists_the_event_types() -> None:
    """Without a server; each line names the API, what the sandbox does with the type, and the type."""
    listed = run_command("sandbox", "--events", environ=bare_environ()).stdout.splitlines()
    told = {tuple(line.split()[:3]) for line in listed}
    assert len(told) == len(listed)
    for types in EVENT_TYPES:
        assert {(types.api, "takes", name) for name in types.client} <= told
        assert {(types.api, "sends", name) for name in types.server} <= told
        assert {(types.api, "neither", name) for name in types.left_out} <= told
    assert len(told) == sum(len(t.client) + len(t.server) + len(t.left_out) for t in EVENT_TYPES)


def test_a_conversation_handles_every_event_that_it_takes() -> None:
    """A type in the schema without a handler would be refused as one for another session."""
    taken = {types.api: types.client for types in EVENT_TYPES}
    assert Conversation.handlers.keys() == taken["realtime"]
    assert Translation.handlers.keys() == taken["translation"]
    assert LiveSession.handlers.keys() == taken["live"]
