"""Who may open a WebSocket, and what kind of session it then is. Pure: values in, a channel out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from service.sandbox import models
from service.sandbox.credentials import bearer, check_key
from service.sandbox.ids import NewId
from service.sandbox.refusal import Refusal, invalid_api_key
from service.sandbox.talk import sessions
from service.sandbox.talk.agenda import Clock
from service.sandbox.talk.beta import BetaChannel
from service.sandbox.talk.channel import Channel
from service.sandbox.talk.conversation import Conversation
from service.sandbox.talk.server_events import Event
from service.sandbox.talk.sessions import Config
from service.sandbox.talk.transcription import Transcription
from service.sandbox.talk.translation import Translation
from service.sandbox.vault import SECRET_PREFIX, Secret, Vault
from service.vendors import wire

_CREDENTIAL_CODES = frozenset({"invalid_api_key", wire.SECRET_ALREADY_USED})
_CHANNELS: dict[str, type[Channel]] = {
    "realtime": Conversation,
    "transcription": Transcription,
    "translation": Translation,
}


class Talk(Protocol):
    """What a socket is connected to."""

    @property
    def ended(self) -> bool:
        """Whether the socket should be closed."""

    def open(self) -> list[Event]:
        """Greet whoever connected."""

    def receive(self, message: str | bytes) -> list[Event]:
        """Take one message."""

    def due_in(self) -> float | None:
        """Seconds until there is something to send."""

    def advance(self) -> list[Event]:
        """Give out what is due by now."""


@dataclass(frozen=True, slots=True)
class Knock:
    """How someone asks for a session.

    ``translation`` says whether at the translations' address; ``query`` holds model or intent, ``offered`` the
    subprotocols.
    """

    translation: bool
    query: Mapping[str, str]
    authorization: str | None
    offered: tuple[str, ...]
    beta_header: str | None

    @property
    def credential(self) -> str:
        """The key or secret, from wherever it was put."""
        prefix = wire.API_KEY_SUBPROTOCOL
        by_subprotocol = (name.removeprefix(prefix) for name in self.offered if name.startswith(prefix))
        return bearer(self.authorization) or next(by_subprotocol, "")

    @property
    def beta(self) -> bool:
        """Whether the beta is asked for."""
        return bool(self.beta_header) or wire.BETA_SUBPROTOCOL in self.offered


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Lets in, or refuses, by the vendor's table of close codes.

    ``beta`` says whether the beta is spoken here; ``now`` gives seconds since the epoch, ``clock`` paces the
    sessions and ``new_id`` names them.
    """

    vault: Vault
    beta: bool
    now: Clock
    clock: Clock
    new_id: NewId

    def admit(self, knock: Knock) -> Talk:
        """Open a session; a secret is used up by this.

        Raises:
            Refusal: with the code of the close reason.
        """
        secret = self._authenticate(knock.credential)
        if knock.beta and not self.beta:
            message = "The Realtime Beta API is no longer supported. Please use the GA API."
            raise Refusal(message, code="beta_api_shape_disabled")
        session = self._session(knock, secret)
        if knock.beta and session["type"] != "realtime":
            message = "The sandbox speaks the beta in conversations only."
            raise Refusal(message, code="invalid_value")
        if secret:
            self.vault.use(secret)
        expires_at = int(self.now()) + sessions.SESSION_SECONDS
        kind = _CHANNELS[session["type"]]
        channel = kind({**session, "expires_at": expires_at}, new_id=self.new_id, clock=self.clock)
        return BetaChannel(channel) if knock.beta else channel

    def _authenticate(self, credential: str) -> Secret | None:
        if credential.startswith(SECRET_PREFIX):
            return self.vault.find(credential)
        if not credential:
            raise invalid_api_key("''")
        check_key(credential)
        return None

    def _session(self, knock: Knock, secret: Secret | None) -> Config:
        kind = _kind(knock)
        if secret and secret.session["type"] != kind:
            message = (
                f"This ephemeral token was created for a {secret.session['type']} session, not a {kind} one."
            )
            raise Refusal(message, code="invalid_model", param="model")
        if kind == "transcription":
            return secret.session if secret else self._fresh({"type": kind})
        model = knock.query.get("model")
        if not model:
            raise Refusal("You must provide a model parameter.", code="missing_model", param="model")
        self._check_model(model, kind, secret)
        return secret.session if secret else self._fresh({"type": kind, "model": model})

    def _check_model(self, model: str, kind: str, secret: Secret | None) -> None:
        known = (
            models.is_translation(model) if kind == "translation" else models.is_known(model, beta=self.beta)
        )
        if secret:
            known = model == secret.session["model"]
        if not known:
            message = f'Model "{model}" is not supported in realtime mode.'
            raise Refusal(message, code="invalid_model", param="model")

    def _fresh(self, config: Config) -> Config:
        return sessions.complete(config, session_id=self.new_id("sess"))


def close_code(refusal: Refusal) -> int:
    """The WebSocket close code of a refusal: 3000 for credentials, 4000 for everything else."""
    return 3000 if refusal.code in _CREDENTIAL_CODES else 4000


def _kind(knock: Knock) -> str:
    if knock.translation:
        return "translation"
    return "transcription" if knock.query.get("intent") == "transcription" else "realtime"
