"""The retired beta of OpenAI's API, which compatible servers still speak: ``POST /realtime/sessions``.

Source: the beta's reference, as the vendor's SDKs of that time have it (``openai`` 1.x, ``beta.realtime.sessions``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from service.core.json import encode_object
from service.core.model import ClientSecret, Grant
from service.vendors import openai, responses, wire
from service.vendors.base import PublicEndpoint, Request, Response, SessionLayout

_MEMBERS: Final = frozenset({
    "model", "modalities", "instructions", "voice", "input_audio_format", "output_audio_format",
    "input_audio_transcription", "input_audio_noise_reduction", "turn_detection", "tools", "tool_choice",
    "temperature", "max_response_output_tokens", "speed", "tracing", "prompt", "include",
})  # fmt: skip
"""The members of a session that are known today; the vendor adds to them."""

LAYOUT: Final = SessionLayout(
    name="REALTIME_API=beta",
    session_types=("realtime",),
    voice=("voice",),
    output_limit=("max_response_output_tokens",),
    members=_MEMBERS,
    has_expiry=False,
    # The session is the whole body, and in it a compatible server may take the secret's own life.
    reserved=("client_secret", "expires_after"),
)


@dataclass(frozen=True, slots=True)
class OpenAIBeta(openai.OpenAI):
    """The session is the whole body, and its secret lives for one minute."""

    name: str = "openai-beta"
    layout: SessionLayout = LAYOUT
    drop_in: bool = False

    def mint(self, grant: Grant, user: str) -> Request:
        """Write the request for a session with a client secret in it."""
        session = {name: value for name, value in grant.session.items() if name != "type"}
        beta = {wire.BETA_HEADER: wire.BETA_HEADER_VALUE}
        return openai.mint_request(wire.BETA_SESSIONS_PATH, user, encode_object(session), beta)

    def read_mint(self, response: Response, grant: Grant) -> ClientSecret:  # noqa: ARG002 - others need it
        """Read the session, and the secret in it."""
        answer = responses.read_answer(response)
        session = {name: value for name, value in answer.items() if name != "client_secret"}
        return responses.client_secret(
            response, holder=answer.get("client_secret"), session=session, answer=answer
        )

    def connection(self, secret: str, grant: Grant, endpoint: PublicEndpoint) -> dict[str, Any]:
        """List what a client needs; the subprotocols end with the beta's own."""
        return openai.connection(secret, grant, endpoint, beta=True)
