"""The retired beta of OpenAI's API, which compatible servers still speak: ``POST /realtime/sessions``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.core.json import encode_object
from service.core.model import ClientSecret, Grant
from service.vendors import layouts, openai, wire
from service.vendors.base import PublicEndpoint, Request, Response, SessionLayout


@dataclass(frozen=True, slots=True)
class OpenAIBeta(openai.OpenAI):
    """The session is the whole body, and its secret lives for one minute."""

    name: str = "openai-beta"
    layout: SessionLayout = layouts.OPENAI_BETA
    drop_in: bool = False

    def mint(self, grant: Grant, user: str) -> Request:
        """Write the request for a session with a client secret in it."""
        session = {name: value for name, value in grant.session.items() if name != "type"}
        beta = {wire.BETA_HEADER: wire.BETA_HEADER_VALUE}
        return openai.mint_request(wire.BETA_SESSIONS_PATH, user, encode_object(session), **beta)

    def read_mint(self, response: Response, grant: Grant) -> ClientSecret:  # noqa: ARG002 - others need it
        """Read the session, and the secret in it."""
        answer = openai.read_answer(response, self.error)
        session = {name: value for name, value in answer.items() if name != "client_secret"}
        return openai.client_secret(
            response, holder=answer.get("client_secret"), session=session, answer=answer
        )

    def connection(self, secret: str, grant: Grant, endpoint: PublicEndpoint) -> dict[str, Any]:
        """List what a client needs; the subprotocols end with the beta's own."""
        return openai.connection(secret, grant, endpoint, beta=True)
