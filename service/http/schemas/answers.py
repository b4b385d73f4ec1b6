"""The answers, as ``/openapi.json`` describes them; the vendor's own members are passed on untouched."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """A JSON answer."""

    model_config = ConfigDict(frozen=True)


class AnsweredSession(Answer):
    """The session as the vendor configured it; more members follow, by its type."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: str | None = None
    type: str | None = None
    model: str | None = None


class Connection(Answer):
    """All that a client needs to open the socket."""

    url: str = Field(description="The WebSocket to open.")
    protocols: list[str] = Field(description="What to offer as subprotocols; the secret is among them.")
    calls_url: str = Field(description="Where a WebRTC client posts its SDP offer, the secret as its Bearer.")


class ClientSecretAnswer(Answer):
    """The vendor's answer, untouched."""

    value: str = Field(description="The client secret, `ek_…`; it opens one session.")
    expires_at: int = Field(description="Seconds since the epoch.")
    session: AnsweredSession


class TokenAnswer(ClientSecretAnswer):
    """The vendor's answer, with the connection to open."""

    connection: Connection


class ErrorDetail(Answer):
    """What went wrong: `code` for programs, `message` for people, `param` for the member to blame."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(Answer):
    """Every error's shape, the vendor's."""

    error: ErrorDetail


class HealthAnswer(Answer):
    """The process lives."""

    status: Literal["ok"]


class ReadyAnswer(Answer):
    """Whether secrets can be minted; `degraded` counts limits per process until the storage is back."""

    status: Literal["ok", "degraded", "unavailable"]
    limit_storage: Literal["ok", "degraded", "unavailable"]
    key_set: Literal["ok", "unavailable"]
