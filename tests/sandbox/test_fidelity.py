"""What the vendor refuses, the sandbox refuses: otherwise code passes offline and fails when it goes live."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from service.sandbox import models
from tests.support.realtime import KEY, bearing, line, mint
from tests.support.sandbox_session import Event, SessionClient, error_of, kinds, one
from tests.support.service import Sandbox

_CHAT_TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
_PCM = {"type": "audio/pcm"}
_RATE_MISSING = "missing_required_parameter"


def _tool(name: str) -> Event:
    return {"type": "function", "name": name}


def _transcribing(model: str, **members: Any) -> Event:
    """A transcription session; ``turn_detection`` is its own setting, all others are the model's."""
    turns = {"turn_detection": members.pop("turn_detection")} if "turn_detection" in members else {}
    return {
        "type": "transcription",
        "audio": {"input": {"transcription": {"model": model, **members}, **turns}},
    }


def _realtime(**members: Any) -> Event:
    return {"type": "realtime", **members}


_INPUT = "session.audio.input"
_REFUSED_SESSIONS = {
    "an output format without a rate": (
        _realtime(audio={"output": {"format": _PCM}}), _RATE_MISSING, "session.audio.output.format.rate",
    ),
    "an input format without a rate": (
        _realtime(audio={"input": {"format": _PCM}}), _RATE_MISSING, f"{_INPUT}.format.rate",
    ),
    "an input format without a rate, to be transcribed": (
        {"type": "transcription", "audio": {"input": {"format": _PCM}}}, _RATE_MISSING, f"{_INPUT}.format.rate",
    ),
    "turn detection on a model without it": (
        _transcribing("gpt-live-transcribe", turn_detection={"type": "server_vad"}),
        "invalid_value", f"{_INPUT}.turn_detection",
    ),
    "turn detection on another model without it": (
        _transcribing("gpt-realtime-whisper", turn_detection={"type": "semantic_vad"}),
        "invalid_value", f"{_INPUT}.turn_detection",
    ),
    "a prompt on a model without it": (
        _transcribing("gpt-realtime-whisper", prompt="names"), "invalid_value", f"{_INPUT}.transcription.prompt",
    ),
    "a prompt on such a model in a conversation": (
        _realtime(audio={"input": {"transcription": {"model": "gpt-realtime-whisper", "prompt": "names"}}}),
        "invalid_value", f"{_INPUT}.transcription.prompt",
    ),
    "keywords on a model without them": (
        _transcribing("gpt-4o-transcribe", keywords=["Ada"]), "invalid_value", f"{_INPUT}.transcription.keywords",
    ),
    "a delay on a model without it": (
        _transcribing("whisper-1", delay="low"), "invalid_value", f"{_INPUT}.transcription.delay",
    ),
    "a transcription model that does not exist": (
        _transcribing("gpt-5-transcribe"), "invalid_value", f"{_INPUT}.transcription.model",
    ),
    "a model that converses, to transcribe": (
        _transcribing("gpt-realtime-2.1"), "invalid_value", f"{_INPUT}.transcription.model",
    ),
    "a function name with a dot": (
        _realtime(tools=[_tool("ok"), _tool("math.add")]), "invalid_value", "session.tools[1].name",
    ),
    "a function name in Chinese": (_realtime(tools=[_tool("天气")]), "invalid_value", "session.tools[0].name"),
    "a function name with a space": (
        _realtime(tools=[_tool("look up")]), "invalid_value", "session.tools[0].name",
    ),
    "a choice of such a name": (
        _realtime(tool_choice=_tool("math.add")), "invalid_value", "session.tool_choice.name",
    ),
    "a tool in the chat style": (
        _realtime(tools=[_CHAT_TOOL]), "missing_required_parameter", "session.tools[0].name",
    ),
    "a choice in the chat style": (
        _realtime(tool_choice={"type": "function", "function": {"name": "look_up"}}),
        "missing_required_parameter", "session.tool_choice.name",
    ),
    "a chat style member beside a name": (
        _realtime(tools=[_tool("look_up") | _CHAT_TOOL]), "unknown_parameter", "session.tools[0].function",
    ),
    "an MCP tool without a server": (
        _realtime(tools=[{"type": "mcp", "server_label": "docs"}]),
        "missing_required_parameter", "session.tools[0].server_url",
    ),
    "an MCP tool with a member that does not exist": (
        _realtime(tools=[{"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example", "url": ""}]),
        "unknown_parameter", "session.tools[0].url",
    ),
    "an MCP label with a space": (
        _realtime(tools=[{"type": "mcp", "server_label": "my docs", "server_url": "https://mcp.example"}]),
        "invalid_value", "session.tools[0].server_label",
    ),
    "a retention ratio that is no number": (
        _realtime(truncation={"type": "retention_ratio", "retention_ratio": "x"}),
        "invalid_type", "session.truncation.retention_ratio",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", _REFUSED_SESSIONS)
def test_a_session_that_the_vendor_refuses_is_refused(sandbox: Sandbox, case: str) -> None:
    """At the mint, and where it is an update of a running session."""
    session, code, param = _REFUSED_SESSIONS[case]
    url = f"{sandbox.base_url}/realtime/client_secrets"
    minted = requests.post(url, json={"session": session}, headers=KEY, timeout=10)
    error = minted.json()["error"]
    assert (minted.status_code, error["code"], error["param"]) == (400, code, param)
    client = SessionClient({"type": session["type"]})
    error = error_of(client.send("session.update", session=session))
    assert (error["code"], error["param"]) == (code, param)


@pytest.mark.parametrize(
    "session",
    [
        _realtime(audio={"output": {"format": {"type": "audio/pcmu"}}}),
        _realtime(audio={"output": {"format": {"type": "audio/pcm", "rate": 24000}}}),
        _realtime(tools=[_tool("look_up-2")]),
        _realtime(tools=[{"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example"}]),
        _realtime(tools=[{"type": "mcp", "server_label": "mail", "connector_id": "connector_gmail"}]),
        _realtime(
            tools=[
                {
                    "type": "mcp",
                    "server_label": "docs",
                    "tunnel_id": "tunnel_1",
                    "allowed_tools": {"read_only": True},
                    "require_approval": {"never": {"tool_names": ["search"]}},
                }
            ]
        ),
        _realtime(
            audio={
                "input": {
                    "transcription": {"model": "gpt-realtime-whisper"},
                    "turn_detection": {"type": "server_vad"},
                }
            }
        ),
        _transcribing("gpt-live-transcribe", turn_detection=None, prompt="a lecture", keywords=["Ada"]),
        _transcribing("gpt-4o-mini-transcribe-2025-12-15", prompt="", turn_detection={"type": "server_vad"}),
    ],
)
def test_a_session_that_the_vendor_takes_is_taken(session: Event) -> None:
    """In a conversation, turn detection is its own and not the transcription model's."""
    client = SessionClient({"type": session["type"]})
    assert kinds(client.send("session.update", session=session)) == ["session.updated"]


@pytest.mark.parametrize("model", ["gpt-live-transcribe", "gpt-realtime-whisper"])
def test_a_model_without_turn_detection_switches_it_off(model: str) -> None:
    """Where nobody asks for it, there is none, and turns are committed by the client."""
    client = SessionClient(_transcribing(model))
    created = one(client.received, "session.created")["session"]
    assert created["audio"]["input"]["turn_detection"] is None
    client = SessionClient({"type": "transcription"})
    assert client.received[0]["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    updated = one(client.send("session.update", session=_transcribing(model)), "session.updated")["session"]
    assert updated["audio"]["input"]["turn_detection"] is None
    later = {"type": "transcription", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
    assert error_of(client.send("session.update", session=later))["param"] == f"{_INPUT}.turn_detection"


@pytest.mark.parametrize(
    "model", ["gpt-realtime-9", "gpt-4o-realtime-preview", "gpt-live-1.1", "gpt-4o-transcribe", "gpt-5.6-sol"]
)
def test_a_secret_for_a_model_that_cannot_converse_opens_nothing(sandbox: Sandbox, model: str) -> None:
    """The vendor mints it, and refuses the connection (observed 2026-09-10 for GPT-Live); so does the sandbox."""
    secret = mint(sandbox.base_url, session=_realtime(model=model))
    with line(sandbox.base_url, f"?model={model}", **bearing(secret)) as client:
        client.listen()
        assert client.events[0]["error"]["code"] == "invalid_model"
        assert client.closed == (4000, "invalid_request_error.invalid_model")
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/sdp"}
    call = requests.post(f"{sandbox.base_url}/realtime/calls", data="v=0", headers=headers, timeout=10)
    assert (call.status_code, call.json()["error"]["code"]) == (400, "invalid_model")


def test_a_secret_for_a_model_that_cannot_translate_opens_nothing(sandbox: Sandbox) -> None:
    """The same for the translations' own path."""
    path = "/realtime/translations/client_secrets"
    secret = mint(sandbox.base_url, path, session={"model": "gpt-realtime-2.1"})
    with line(sandbox.base_url, "/translations?model=gpt-realtime-2.1", **bearing(secret)) as client:
        client.listen()
        assert client.closed == (4000, "invalid_request_error.invalid_model")


@pytest.mark.parametrize("intent", ["", "chat"])
def test_an_unknown_intent_is_refused_and_so_is_an_empty_one(sandbox: Sandbox, intent: str) -> None:
    """Observed for the empty one, which a proxy had added to every address."""
    query = f"?model=gpt-realtime-2.1&intent={intent}"
    with line(sandbox.base_url, query, **bearing("sk-test")) as client:
        client.listen()
        assert client.closed == (4000, "invalid_request_error.invalid_intent")


def test_a_standard_key_calls_with_a_session_or_a_model(sandbox: Sandbox) -> None:
    """A raw offer alone names no model; with a secret, the secret does."""
    url, headers = f"{sandbox.base_url}/realtime/calls", KEY | {"Content-Type": "application/sdp"}
    refused = requests.post(url, data="v=0", headers=headers, timeout=10)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "missing_model")
    refused = requests.post(f"{url}?model=gpt-live-1", data="v=0", headers=headers, timeout=10)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_model")
    known = requests.post(f"{url}?model=gpt-realtime-2.1", data="v=0", headers=headers, timeout=10)
    assert known.json()["error"]["code"] == "invalid_offer"


def test_the_result_of_a_call_that_nobody_made_is_refused() -> None:
    """In the conversation and in a response's own input; a call that the client itself created counts."""
    client = SessionClient()
    output = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
    error = error_of(client.send("conversation.item.create", item=output))
    assert error["code"] == "invalid_tool_call_id"
    assert error["message"] == "Tool call ID 'call_1' not found in conversation."
    asked = {"conversation": "none", "input": [output]}
    assert error_of(client.send("response.create", response=asked))["code"] == "invalid_tool_call_id"
    call = {"type": "function_call", "name": "look_up", "arguments": "{}", "call_id": "call_1"}
    assert (
        kinds(client.send("response.create", response=asked | {"input": [call, output]}))[0]
        == "response.created"
    )
    client.send("conversation.item.create", item=call)
    added = client.send("conversation.item.create", item=output)
    assert kinds(added) == ["conversation.item.added", "conversation.item.done"]


def test_an_approval_is_taken_for_a_request_in_the_conversation() -> None:
    """The sandbox makes no such request, as it calls no MCP server; a client can bring one from elsewhere."""
    client = SessionClient()
    answer = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    error = error_of(client.send("conversation.item.create", item=answer))
    assert error["code"] == "invalid_mcp_approval_request_id"
    request = {
        "type": "mcp_approval_request",
        "id": "mcpr_1",
        "server_label": "docs",
        "name": "x",
        "arguments": "{}",
    }
    client.send("conversation.item.create", item=request)
    added = client.send("conversation.item.create", item=answer)
    assert one(added, "conversation.item.added")["item"].keys() == answer.keys() | {"id"}


def test_every_model_has_one_use_and_a_transcription_model_says_what_it_takes() -> None:
    """The table is what everything else reads; the listing tells the announced shutdowns."""
    assert len({model.name for model in models.MODELS}) == len(models.MODELS)
    assert all(model.takes for model in models.MODELS if model.use == "transcription")
    dates = {model["id"]: model["shutdown_date"] for model in models.listing(beta=False)}
    assert dates["gpt-realtime"] == dates["gpt-realtime-mini"] == dates["gpt-audio-mini"] == "2027-01-20"
    assert dates["whisper-1"] == dates["gpt-4o-transcribe-diarize"] == "2027-02-26"
    assert dates["gpt-live-1.1"] is dates["gpt-realtime-2.1"] is dates["gpt-live-transcribe"] is None
