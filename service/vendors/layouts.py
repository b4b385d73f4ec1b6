"""The layouts of today's API and of the retired beta."""

from __future__ import annotations

from service.vendors import wire
from service.vendors.base import SessionLayout

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
