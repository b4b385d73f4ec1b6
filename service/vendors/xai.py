"""xAI's voice API, as far as client secrets go.

Documented (https://docs.x.ai/developers/model-capabilities/audio/ephemeral-tokens and .../speech-to-speech, November
2026): the mint takes neither ``session`` nor ``expires_after.anchor`` and answers without a session; a browser offers
the one subprotocol ``xai-client-secret.<value>``; the model is named in the URL, and the client configures its session.
From the vendor's TypeScript SDK: a secret is valid for at most an hour. Assumed: refusals have OpenAI's statuses and
shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from service.core.json import encode_object
from service.core.model import ClientSecret, Grant
from service.vendors import openai, responses, wire
from service.vendors.base import PublicEndpoint, Request, Response, SessionLayout

LAYOUT: Final = SessionLayout(
    name="OPENAI_VENDOR=xai",
    session_types=("realtime",),
    voice=("voice",),
    output_limit=("max_output_tokens",),
    members=frozenset({"model"}),
    held_members=frozenset({"model"}),
    max_secret_seconds=3600,
    example_model="grok-voice-latest",
)
_SECRET_SUBPROTOCOL: Final = "xai-client-secret."  # noqa: S105 - what comes before one


@dataclass(frozen=True, slots=True)
class XAI(openai.OpenAI):
    """Client secrets of xAI, which hold nothing: neither a model nor a configuration."""

    name: str = "xai"
    layout: SessionLayout = LAYOUT
    lists_models: bool = False
    notes: tuple[str, ...] = (
        "its secrets bind neither model nor configuration: this service decides who gets one and how often, no more",
    )

    def mint(self, grant: Grant, user: str) -> Request:  # noqa: ARG002 - no header for it is documented
        """Write the request for a client secret, in which there is no place for a session or a user."""
        body = encode_object({"expires_after": {"seconds": grant.expires_in}})
        headers = {"Content-Type": "application/json"}
        return Request("POST", wire.CLIENT_SECRETS_PATH, headers, body, retryable=True)

    def read_mint(self, response: Response, grant: Grant) -> ClientSecret:
        """Read the answer to a mint; its session is what was asked for, as the answer tells none."""
        answer = responses.read_answer(response)
        session = {"type": grant.session_type, "model": grant.model}
        return responses.client_secret(response, holder=answer, session=session, answer=answer)

    def connection(self, secret: str, grant: Grant, endpoint: PublicEndpoint) -> dict[str, Any]:
        """List what a client needs to open the WebSocket; there is no WebRTC."""
        return {
            "url": openai.websocket_url(endpoint.base_url, grant.session_type, grant.model),
            "protocols": [_SECRET_SUBPROTOCOL + secret],
        }
