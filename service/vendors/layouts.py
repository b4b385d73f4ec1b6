"""The layouts of sessions, a value for each vendor and dialect."""

from __future__ import annotations

import re
from dataclasses import replace

from service.vendors import wire
from service.vendors.base import LiveLayout, SessionLayout

OPENAI_LIVE = LiveLayout(
    models=re.compile(r"gpt-live-\d"),
    members=frozenset({
        "type", "model", "instructions", "input", "audio", "delegation", "triggers", "safety_identifier", "store",
        "client", "wake_policy", "idle_timeout_s",
    }),
    caller_members=(
        "model", "instructions", "input", "audio.output.voice", "delegation.type",
        "delegation.acknowledgement_delay_ms", "idle_timeout_s", "wake_policy",
    ),
    delegation=("delegation", "type"),
    fixed={"store": False},
    reserved=("store", "safety_identifier", "client.data_channel"),
    data_channel=("client", "data_channel"),
    client_events=("session.input_audio.mute", "session.input_audio.unmute", "session.close"),
    delegate_events=("session.thinking.append", "session.commentary.append"),
)  # fmt: skip

OPENAI = SessionLayout(
    name="OPENAI_VENDOR=openai",
    session_types=("realtime", "transcription", "translation"),
    model=("model",),
    transcription_model=("audio", "input", "transcription", "model"),
    voice=("audio", "output", "voice"),
    output_limit=("max_output_tokens",),
    tools=wire.TOOLS_PATH,
    prompt=wire.PROMPT_PATH,
    tracing=wire.TRACING_PATH,
    mcp_destinations=wire.MCP_DESTINATIONS,
    members=wire.SESSION_MEMBERS,
    call_types=("realtime", "live"),
    live=OPENAI_LIVE,
)

OPENAI_BETA = SessionLayout(
    name="REALTIME_API=beta",
    session_types=("realtime",),
    model=("model",),
    transcription_model=("audio", "input", "transcription", "model"),
    voice=("voice",),
    output_limit=("max_response_output_tokens",),
    tools=wire.TOOLS_PATH,
    prompt=wire.PROMPT_PATH,
    tracing=wire.TRACING_PATH,
    mcp_destinations=wire.MCP_DESTINATIONS,
    members=wire.BETA_SESSION_MEMBERS,
    has_expiry=False,
    # In the beta the session is the whole body, and in it a compatible server may take the secret's own life.
    reserved=("client_secret", "expires_after"),
)

AZURE = replace(OPENAI, name="OPENAI_VENDOR=azure")

XAI = SessionLayout(
    name="OPENAI_VENDOR=xai",
    session_types=("realtime",),
    model=("model",),
    transcription_model=("audio", "input", "transcription", "model"),
    voice=("voice",),
    output_limit=("max_output_tokens",),
    tools=wire.TOOLS_PATH,
    prompt=wire.PROMPT_PATH,
    tracing=wire.TRACING_PATH,
    mcp_destinations=wire.MCP_DESTINATIONS,
    members=frozenset({"model"}),
    held_members=frozenset({"model"}),
    max_secret_seconds=3600,
    example_model="grok-voice-latest",
)
