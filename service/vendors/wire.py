"""The vendor's Realtime API, spelled: paths, headers, subprotocols, bodies, and how to read its answers.

The only file that knows them, and it does no I/O. Sources: the vendor's API reference
(https://platform.openai.com/docs/api-reference/realtime-sessions) and its WebSocket guide
(https://platform.openai.com/docs/guides/realtime-websocket).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import urlencode, urlsplit

from service.core.model import ClientSecret, Grant, SessionType

SUBPROTOCOL = "realtime"
"""The subprotocol that the vendor's server selects."""

API_KEY_SUBPROTOCOL = "openai-insecure-api-key."
ORGANIZATION_SUBPROTOCOL = "openai-organization."
PROJECT_SUBPROTOCOL = "openai-project."
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"

AUTHORIZATION_HEADER = "Authorization"
ORGANIZATION_HEADER = "OpenAI-Organization"
PROJECT_HEADER = "OpenAI-Project"
SAFETY_IDENTIFIER_HEADER = "OpenAI-Safety-Identifier"
BETA_HEADER = "OpenAI-Beta"
BETA_HEADER_VALUE = "realtime=v1"
REQUEST_ID_HEADER = "x-request-id"

CLIENT_SECRETS_PATH = "/realtime/client_secrets"
TRANSLATION_CLIENT_SECRETS_PATH = "/realtime/translations/client_secrets"
BETA_SESSIONS_PATH = "/realtime/sessions"
REALTIME_PATH = "/realtime"
TRANSLATIONS_PATH = "/realtime/translations"
CALLS_PATH = "/realtime/calls"
TRANSLATION_CALLS_PATH = "/realtime/translations/calls"
MODELS_PATH = "/models"

MIN_SECRET_TTL = 10
MAX_SECRET_TTL = 7200
"""The life of a secret in seconds, as the vendor bounds it."""

TOOLS_PATH = ("tools",)
PROMPT_PATH = ("prompt",)
TRACING_PATH = ("tracing",)
MCP_DESTINATIONS = ("server_url", "connector_id", "tunnel_id")
"""Where a session keeps what policy looks at, and the members of an MCP tool that say whom it calls."""

SESSION_MEMBERS = frozenset({
    "type", "model", "instructions", "output_modalities", "audio", "include", "tools", "tool_choice",
    "parallel_tool_calls", "reasoning", "max_output_tokens", "truncation", "tracing", "prompt",
})  # fmt: skip
BETA_SESSION_MEMBERS = frozenset({
    "model", "modalities", "instructions", "voice", "input_audio_format", "output_audio_format",
    "input_audio_transcription", "input_audio_noise_reduction", "turn_detection", "tools", "tool_choice",
    "temperature", "max_response_output_tokens", "speed", "tracing", "prompt", "include",
})  # fmt: skip
"""The members of a session that are known today; the vendor adds to them."""

SECRET_ALREADY_USED = "ephemeral_token_already_used"  # noqa: S105 - an error code
"""The vendor's code for a secret that has opened its one session."""


@dataclass(frozen=True, slots=True)
class Account:
    """The company's account with the vendor."""

    api_key: str = field(repr=False)
    organization: str | None = None
    project: str | None = None


@dataclass(frozen=True, slots=True)
class Api:
    """The vendor's API: below which URL, on whose account, in which of its dialects."""

    base_url: str
    account: Account
    beta: bool = False


@dataclass(frozen=True, slots=True)
class MintRequest:
    """One HTTP POST to the vendor, below the base URL."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class UnusableAnswerError(ValueError):
    """The vendor's answer holds no client secret where one was due."""


def subprotocols(
    secret: str, *, organization: str | None = None, project: str | None = None, beta: bool = False
) -> list[str]:
    """List what an insecure client offers as ``Sec-WebSocket-Protocol``, the secret among it."""
    offered = [SUBPROTOCOL, API_KEY_SUBPROTOCOL + secret]
    if organization:
        offered.append(ORGANIZATION_SUBPROTOCOL + organization)
    if project:
        offered.append(PROJECT_SUBPROTOCOL + project)
    if beta:
        offered.append(BETA_SUBPROTOCOL)
    return offered


def account_headers(account: Account) -> dict[str, str]:
    """Authenticate as the company itself."""
    headers = {AUTHORIZATION_HEADER: f"Bearer {account.api_key}"}
    if account.organization:
        headers[ORGANIZATION_HEADER] = account.organization
    if account.project:
        headers[PROJECT_HEADER] = account.project
    return headers


def mint_request(grant: Grant, *, safety_identifier: str, beta: bool = False) -> MintRequest:
    """Spell a grant as the vendor's request; the account's own headers are the session's to add.

    ``anchor`` is always sent: the vendor was seen to refuse a request without it.
    """
    headers = {"Content-Type": "application/json", SAFETY_IDENTIFIER_HEADER: safety_identifier}
    session = dict(grant.session)
    if beta:
        session.pop("type", None)
        headers[BETA_HEADER] = BETA_HEADER_VALUE
        return MintRequest(BETA_SESSIONS_PATH, headers, _encode(session))
    path = CLIENT_SECRETS_PATH
    if grant.session_type == "translation":
        session.pop("type", None)
        path = TRANSLATION_CLIENT_SECRETS_PATH
    expires_after = {"anchor": "created_at", "seconds": grant.expires_in}
    return MintRequest(path, headers, _encode({"expires_after": expires_after, "session": session}))


def _encode(body: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(body).encode()


def read_secret(body: bytes, *, request_id: str | None = None, beta: bool = False) -> ClientSecret:
    """Read the vendor's answer to a mint.

    Raises:
        UnusableAnswerError: where it is no JSON object, or holds no secret.
    """
    try:
        answer = _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise UnusableAnswerError("the answer is not JSON") from error
    if not isinstance(answer, dict):
        raise UnusableAnswerError("the answer is not a JSON object")
    holder = answer.get("client_secret") if beta else answer
    session = {k: v for k, v in answer.items() if k != "client_secret"} if beta else answer.get("session")
    value = holder.get("value") if isinstance(holder, dict) else None
    expires_at = holder.get("expires_at") if isinstance(holder, dict) else None
    if not (isinstance(value, str) and value and type(expires_at) is int and isinstance(session, dict)):
        raise UnusableAnswerError("the answer holds no usable client secret")
    return ClientSecret(
        value=value, expires_at=expires_at, session=session, answer=answer, upstream_request_id=request_id
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Made once: json.dumps and json.loads would make one each for every mint.
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def read_error(body: bytes) -> Mapping[str, Any]:
    """Read the vendor's error object; an empty one where the body is something else."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds the vendor asks to wait: ``retry-after-ms``, or ``retry-after`` in seconds.

    Its date form (RFC 9110 §10.2.3) is not used by the vendor and counts as not given.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


def model_path(session_type: SessionType) -> tuple[str, ...]:
    """Say where a session of this type keeps its own model, as a path of members below ``session``."""
    if session_type == "transcription":
        return ("audio", "input", "transcription", "model")
    return ("model",)


def voice_path(*, beta: bool) -> tuple[str, ...]:
    """Say where a conversation keeps the voice it speaks with, below ``session``."""
    return ("voice",) if beta else ("audio", "output", "voice")


def output_limit_path(*, beta: bool) -> tuple[str, ...]:
    """Say where a conversation keeps the most tokens an answer may have; without it there is no limit."""
    return ("max_response_output_tokens",) if beta else ("max_output_tokens",)


@lru_cache(maxsize=256)  # models are few, and this is on the path of every mint
def websocket_url(base_url: str, session_type: SessionType, model: str) -> str:
    """Say which URL a client opens, below ``base_url`` (http becomes ws, https wss)."""
    scheme = "ws" if urlsplit(base_url).scheme == "http" else "wss"
    base = f"{scheme}:{base_url.partition(':')[2]}"
    if session_type == "transcription":
        return f"{base}{REALTIME_PATH}?intent=transcription"
    path = TRANSLATIONS_PATH if session_type == "translation" else REALTIME_PATH
    return f"{base}{path}?{urlencode({'model': model})}"


def connection(secret: str, *, session_type: SessionType, model: str, api: Api) -> dict[str, Any]:
    """List all that a client needs to open a session with ``secret``: WebSocket and WebRTC alike."""
    account = api.account
    calls = TRANSLATION_CALLS_PATH if session_type == "translation" else CALLS_PATH
    return {
        "url": websocket_url(api.base_url, session_type, model),
        "protocols": subprotocols(
            secret, organization=account.organization, project=account.project, beta=api.beta
        ),
        "calls_url": api.base_url + calls,
    }
