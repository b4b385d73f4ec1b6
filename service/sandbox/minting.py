"""Requests for client secrets: what is checked, and what is answered. No input or output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from service.sandbox.ids import NewId
from service.sandbox.refusal import Refusal
from service.sandbox.shapes.base import Shape
from service.sandbox.shapes.beta import SESSION
from service.sandbox.shapes.session import Session, TranslationSession
from service.sandbox.talk import flat, sessions
from service.sandbox.validation import check, named
from service.sandbox.vault import Secret, Vault
from service.vendors import wire

_DEFAULT_SECONDS = 600
_BETA_SECONDS = 60


class ExpiresAfter(Shape):
    """How long a secret may start a session."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=wire.MIN_SECRET_TTL, le=wire.MAX_SECRET_TTL)] = _DEFAULT_SECONDS


class MintBody(Shape):
    """The body of ``POST /realtime/client_secrets``."""

    session: Session | None = None
    expires_after: ExpiresAfter | None = None


class TranslationMintBody(Shape):
    """The body of ``POST /realtime/translations/client_secrets``."""

    session: TranslationSession
    expires_after: ExpiresAfter | None = None


_MINT: TypeAdapter[Any] = TypeAdapter(MintBody)
_TRANSLATION_MINT: TypeAdapter[Any] = TypeAdapter(TranslationMintBody)


@dataclass(frozen=True, slots=True)
class Minter:
    """Mints secrets into a vault.

    ``new_id`` names the sessions.
    """

    vault: Vault
    new_id: NewId

    def mint(self, body: Any) -> dict[str, Any]:
        """Answer ``POST /realtime/client_secrets``.

        Raises:
            Refusal: where the body is not as it should be.
        """
        check(_MINT, _object(body))
        config = body.get("session") or {"type": "realtime"}
        return _answer(self._issue(config, body))

    def mint_translation(self, body: Any) -> dict[str, Any]:
        """Answer ``POST /realtime/translations/client_secrets``.

        Raises:
            Refusal: where the body is not as it should be.
        """
        check(_TRANSLATION_MINT, _object(body))
        return _answer(self._issue({"type": "translation", **body["session"]}, body))

    def mint_beta(self, body: Any) -> dict[str, Any]:
        """Answer the beta's ``POST /realtime/sessions``.

        Raises:
            Refusal: where the body is not as it should be.
        """
        check(SESSION, _object(body))
        secret = self._secret({"type": "realtime", **flat.session_to_ga(body)}, _BETA_SECONDS)
        return {
            **flat.session_from_ga(secret.session, temperature=body.get("temperature")),
            "client_secret": {"value": secret.value, "expires_at": secret.expires_at},
        }

    def _issue(self, config: sessions.Config, body: Any) -> Secret:
        return self._secret(config, (body.get("expires_after") or {}).get("seconds", _DEFAULT_SECONDS))

    def _secret(self, config: sessions.Config, seconds: int) -> Secret:
        return self.vault.mint(sessions.complete(config, session_id=self.new_id("sess")), seconds)


def requested_model(body: Any) -> object:
    """Find the model in a body of any of the three kinds, valid or not."""
    session = body.get("session", body) if isinstance(body, dict) else None
    if not isinstance(session, dict):
        return None
    here: Any = session
    if session.get("type") == "transcription":
        for step in ("audio", "input", "transcription"):
            here = here.get(step) if isinstance(here, dict) else None
    return here.get("model") if isinstance(here, dict) else None


def _answer(secret: Secret) -> dict[str, Any]:
    return {"value": secret.value, "expires_at": secret.expires_at, "session": secret.session}


def _object(body: Any) -> Any:
    if not isinstance(body, dict):
        message = f"Invalid type for the request body: expected an object, but got {named(body)} instead."
        raise Refusal(message, code="invalid_type")
    return body
