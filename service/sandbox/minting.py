"""Requests for client secrets: the checks and the answers. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from service.sandbox.credentials import Secret, SecretStore
from service.sandbox.errors import ApiError
from service.sandbox.ids import NewId
from service.sandbox.schemas.beta import SESSION
from service.sandbox.schemas.session import AnySession, TranslationSession
from service.sandbox.schemas.validation import StrictModel, check, json_type
from service.sandbox.sessions import beta_mapping, configuration
from service.vendors import wire

_DEFAULT_SECONDS = 600
_BETA_SECONDS = 60


class ExpiresAfter(StrictModel):
    """How long a secret may be used to start a session."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=wire.MIN_SECRET_TTL, le=wire.MAX_SECRET_TTL)] = _DEFAULT_SECONDS


class MintBody(StrictModel):
    """The body of ``POST /realtime/client_secrets``."""

    session: AnySession | None = None
    expires_after: ExpiresAfter | None = None


class TranslationMintBody(StrictModel):
    """The body of ``POST /realtime/translations/client_secrets``."""

    session: TranslationSession
    expires_after: ExpiresAfter | None = None


_MINT: TypeAdapter[Any] = TypeAdapter(MintBody)
_TRANSLATION_MINT: TypeAdapter[Any] = TypeAdapter(TranslationMintBody)


@dataclass(frozen=True, slots=True)
class Minter:
    """Mints secrets; each method takes a body and returns the answer, or raises ApiError for an invalid body."""

    secrets: SecretStore
    new_id: NewId

    def mint(self, body: Any) -> dict[str, Any]:
        """Answer ``POST /realtime/client_secrets``."""
        _check_body(_MINT, body)
        return self._answer(body.get("session") or {"type": "realtime"}, body)

    def mint_translation(self, body: Any) -> dict[str, Any]:
        """Answer ``POST /realtime/translations/client_secrets``."""
        _check_body(_TRANSLATION_MINT, body)
        return self._answer({"type": "translation", **body["session"]}, body)

    def mint_beta(self, body: Any) -> dict[str, Any]:
        """Answer the beta's ``POST /realtime/sessions``."""
        _check_body(SESSION, body)
        secret = self._secret({"type": "realtime", **beta_mapping.session_to_ga(body)}, _BETA_SECONDS)
        return {
            **beta_mapping.session_from_ga(secret.session, temperature=body.get("temperature")),
            "client_secret": {"value": secret.value, "expires_at": secret.expires_at},
        }

    def _answer(self, config: configuration.Config, body: Any) -> dict[str, Any]:
        seconds = (body.get("expires_after") or {}).get("seconds", _DEFAULT_SECONDS)
        secret = self._secret(config, seconds)
        return {"value": secret.value, "expires_at": secret.expires_at, "session": secret.session}

    def _secret(self, config: configuration.Config, seconds: int) -> Secret:
        return self.secrets.mint(configuration.complete(config, session_id=self.new_id("sess")), seconds)


def requested_model(body: Any) -> object:
    """Return the model that a mint's body names, whether the body is valid or not."""
    session = body.get("session", body) if isinstance(body, dict) else None
    if not isinstance(session, dict):
        return None
    holder: Any = session
    if session.get("type") == "transcription":
        for step in ("audio", "input", "transcription"):
            holder = holder.get(step) if isinstance(holder, dict) else None
    return holder.get("model") if isinstance(holder, dict) else None


def _check_body(schema: TypeAdapter[Any], body: Any) -> None:
    if not isinstance(body, dict):
        message = f"Invalid type for the request body: expected an object, but got {json_type(body)} instead."
        raise ApiError(message, code="invalid_type")
    check(schema, body)
