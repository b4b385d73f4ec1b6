"""OpenAI's Realtime API: where its sessions keep what policy looks at, its requests, its responses.

Source: the vendor's API reference (https://platform.openai.com/docs/api-reference/realtime-sessions).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from service.core.errors import ServiceError
from service.core.json import encode_object
from service.core.model import ClientSecret, Grant, SessionType
from service.vendors import responses, wire
from service.vendors.base import CallApi, LiveLayout, PublicEndpoint, Request, Response, SessionLayout

LIVE_LAYOUT: Final = LiveLayout(
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

_MEMBERS: Final = frozenset({
    "type", "model", "instructions", "output_modalities", "audio", "include", "tools", "tool_choice",
    "parallel_tool_calls", "reasoning", "max_output_tokens", "truncation", "tracing", "prompt",
})  # fmt: skip
"""The members of a session that are known today; the vendor adds to them.

Used for policy warnings only: nothing is refused for not being here.
"""

LAYOUT: Final = SessionLayout(
    name="OPENAI_VENDOR=openai",
    session_types=("realtime", "transcription", "translation"),
    voice=("audio", "output", "voice"),
    output_limit=("max_output_tokens",),
    members=_MEMBERS,
    call_types=("realtime", "live"),
    live=LIVE_LAYOUT,
)


@dataclass(frozen=True, slots=True)
class OpenAI:
    """Today's API: ``client_secrets`` for conversations, transcriptions and translations."""

    name: str = "openai"
    layout: SessionLayout = LAYOUT
    drop_in: bool = True
    lists_models: bool = True
    notes: tuple[str, ...] = ()
    calls: CallApi | None = None

    def mint(self, grant: Grant, user: str) -> Request:
        """Write the request for a client secret.

        ``anchor`` is always sent: the vendor was seen to refuse a request without it.
        """
        session, path = grant.session, wire.CLIENT_SECRETS_PATH
        if grant.session_type == "translation":
            session = {name: value for name, value in session.items() if name != "type"}
            path = wire.TRANSLATION_CLIENT_SECRETS_PATH
        expires_after = {"anchor": "created_at", "seconds": grant.expires_in}
        body = encode_object({"expires_after": expires_after, "session": session})
        return mint_request(path, user, body)

    def read_mint(self, response: Response, grant: Grant) -> ClientSecret:  # noqa: ARG002 - others need it
        """Read the answer to a mint."""
        answer = responses.read_answer(response)
        return responses.client_secret(response, holder=answer, session=answer.get("session"), answer=answer)

    def connection(self, secret: str, grant: Grant, endpoint: PublicEndpoint) -> dict[str, Any]:
        """List all that a client needs to open a session with ``secret``: WebSocket and WebRTC alike."""
        return connection(secret, grant, endpoint)

    def models(self) -> Request:
        """Write the request that lists the models."""
        return Request("GET", wire.MODELS_PATH, retryable=True)

    def try_model(self, model: str) -> Request | None:  # noqa: ARG002 - the list tells
        """Return ``None``: ``models()`` already says whether a model is usable."""
        return None

    def error(self, response: Response) -> ServiceError:
        """Turn the vendor's refusal into ours."""
        return responses.refusal(response)


def mint_request(path: str, user: str, body: bytes, headers: Mapping[str, str] | None = None) -> Request:
    """Write a POST of JSON that may be retried, on behalf of an end user, with further ``headers``."""
    all_headers = {"Content-Type": "application/json", wire.SAFETY_IDENTIFIER_HEADER: user, **(headers or {})}
    return Request("POST", path, all_headers, body, retryable=True)


def connection(secret: str, grant: Grant, endpoint: PublicEndpoint, *, beta: bool = False) -> dict[str, Any]:
    """List the WebSocket to open, its subprotocols, and where a WebRTC client posts its offer."""
    translation = grant.session_type == "translation"
    calls = wire.TRANSLATION_CALLS_PATH if translation else wire.CALLS_PATH
    return {
        "url": websocket_url(endpoint.base_url, grant.session_type, grant.model),
        "protocols": wire.subprotocols(
            secret, organization=endpoint.organization, project=endpoint.project, beta=beta
        ),
        "calls_url": endpoint.base_url + calls,
    }


@lru_cache(maxsize=256)  # models are few, and this is on the path of every mint
def websocket_url(base_url: str, session_type: SessionType, model: str) -> str:
    """Return the URL that a client opens, below ``base_url`` (http becomes ws, https wss)."""
    scheme = "ws" if urlsplit(base_url).scheme == "http" else "wss"
    base = f"{scheme}:{base_url.partition(':')[2]}"
    if session_type == "transcription":
        return f"{base}{wire.REALTIME_PATH}?intent=transcription"
    path = wire.TRANSLATIONS_PATH if session_type == "translation" else wire.REALTIME_PATH
    return f"{base}{path}?{urlencode({'model': model})}"
