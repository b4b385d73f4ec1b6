"""Who may open a session by WebSocket, and of which type. No I/O: values in, a session out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from service.sandbox import models
from service.sandbox.azure import Azure
from service.sandbox.credentials import SECRET_PREFIX, Secret, SecretStore, bearer, check_key
from service.sandbox.errors import ApiError, invalid_api_key, invalid_value
from service.sandbox.ids import NewId
from service.sandbox.sessions import configuration
from service.sandbox.sessions.base import BaseSession, Session
from service.sandbox.sessions.beta import BetaSession
from service.sandbox.sessions.configuration import Config
from service.sandbox.sessions.conversation import Conversation
from service.sandbox.sessions.listening import Transcription
from service.sandbox.sessions.scheduler import Clock
from service.sandbox.sessions.translation import Translation
from service.vendors import wire

_CREDENTIAL_CODES = frozenset({"invalid_api_key", wire.SECRET_ALREADY_USED})
_SESSION_CLASSES: dict[str, type[BaseSession]] = {
    "realtime": Conversation,
    "transcription": Transcription,
    "translation": Translation,
}


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """A client's request to open a session by WebSocket.

    ``translation`` tells the translations' path from the conversations'; ``query`` may hold ``model`` and ``intent``.
    """

    translation: bool
    query: Mapping[str, str]
    authorization: str | None
    subprotocols: tuple[str, ...]
    beta_header: str | None

    @property
    def credential(self) -> str:
        """Return the key or secret from the header or a subprotocol, or an empty string."""
        prefix = wire.API_KEY_SUBPROTOCOL
        found = (name.removeprefix(prefix) for name in self.subprotocols if name.startswith(prefix))
        return bearer(self.authorization) or next(found, "")

    @property
    def beta(self) -> bool:
        """Whether the client asks for the beta."""
        return bool(self.beta_header) or wire.BETA_SUBPROTOCOL in self.subprotocols

    @property
    def session_type(self) -> models.Use:
        """Return the type of session that the path and the ``intent`` name.

        Raises:
            ApiError: if the intent is another one; an empty one is, too.
        """
        if self.translation:
            return "translation"
        intent = self.query.get("intent")
        if intent not in {None, "transcription"}:
            raise ApiError(f"Invalid intent {intent}", code="invalid_intent")
        return "realtime" if intent is None else "transcription"


@dataclass(frozen=True, slots=True)
class Admission:
    """Admits or refuses clients; refusals follow the vendor's table of close codes.

    ``beta`` says whether this sandbox speaks the beta. ``now`` returns seconds since the epoch, ``clock`` the
    monotonic seconds that pace a session. ``check_account`` refuses what is no key.
    """

    secrets: SecretStore
    beta: bool
    now: Clock
    clock: Clock
    new_id: NewId
    check_account: Callable[[str], None] = check_key

    def admit(self, request: ConnectRequest) -> Session:
        """Open a session, which uses up the client's secret.

        Raises:
            ApiError: its code becomes the reason that the WebSocket is closed with.
        """
        secret = self._authenticate(request.credential)
        if request.beta and not self.beta:
            message = "The Realtime Beta API is no longer supported. Please use the GA API."
            raise ApiError(message, code="beta_api_shape_disabled")
        config = self._configuration(request, secret)
        if request.beta and config["type"] != "realtime":
            raise invalid_value("The sandbox speaks the beta in conversations only.", "intent")
        expires_at = int(self.now()) + configuration.SESSION_SECONDS
        session_class = _SESSION_CLASSES[config["type"]]
        with self.secrets.claim(secret) if secret else nullcontext():
            session = session_class(
                {**config, "expires_at": expires_at}, new_id=self.new_id, clock=self.clock
            )
        return BetaSession(session) if request.beta else session

    def _authenticate(self, credential: str) -> Secret | None:
        if credential.startswith(SECRET_PREFIX):
            return self.secrets.find(credential)
        if not credential:
            raise invalid_api_key("''")
        self.check_account(credential)
        return None

    def _configuration(self, request: ConnectRequest, secret: Secret | None) -> Config:
        """Return the secret's configuration, or a fresh one, once type and model agree with the request."""
        session_type = request.session_type
        config: Config = {"type": session_type}
        if secret and secret.session["type"] != session_type:
            made_for = secret.session["type"]
            message = f"This ephemeral token was created for a {made_for} session, not a {session_type} one."
            raise ApiError(message, code="invalid_model", param="model")
        if session_type != "transcription":
            model = request.query.get("model")
            if not model:
                message = "You must provide a model parameter."
                raise ApiError(message, code="missing_model", param="model")
            check_model(model, session_type, secret, beta=self.beta)
            config["model"] = model
        return secret.session if secret else configuration.complete(config, session_id=self.new_id("sess"))


def call_configuration(
    session: Config | None, model: str | None, secret: Secret | None, use: models.Use, *, session_id: str
) -> Config:
    """Return the complete configuration of a WebRTC call.

    It is the secret's, or else made of the ``session`` and ``?model=`` that came with a standard key.

    Raises:
        ApiError: if there is neither a secret, a session nor a model, or the model is not for such calls.
    """
    if secret:
        config = secret.session
    elif session is None and not model:
        raise ApiError("You must provide a model parameter.", code="missing_model", param="model")
    else:
        chosen = {"model": model} if model else {}
        config = configuration.complete({"type": use, **chosen, **(session or {})}, session_id=session_id)
    if config["type"] != "transcription":
        check_model(config["model"], use, secret)
    return config


def live_configuration(posted: Config, azure: Azure | None) -> Config:
    """Return a Live session that is to be opened, with the model that was deployed.

    Raises:
        ApiError: if the model cannot open one.
    """
    session: Config = azure.deployed(posted, as_use="live") if azure else posted
    if models.find(session["model"], "live") is None:
        message = f"The model '{session['model']}' is not supported by Live sessions."
        raise ApiError(message, code="invalid_model", param="session.model")
    return session


def check_model(model: str, use: models.Use, secret: Secret | None, *, beta: bool = False) -> None:
    """Check that a session may be opened with a model.

    The vendor mints for any name; what the model cannot do, and what a secret was not minted for, shows here.

    Raises:
        ApiError: if the model is unknown, retired, of another use, or not the one of the secret.
    """
    wrong_secret = secret is not None and secret.session["model"] != model
    if wrong_secret or models.find(model, use, beta=beta) is None:
        message = f'Model "{model}" is not supported in realtime mode.'
        raise ApiError(message, code="invalid_model", param="model")


def close_code(error: ApiError) -> int:
    """Return the WebSocket close code for an error: 3000 for credentials, 4000 for everything else."""
    return 3000 if error.code in _CREDENTIAL_CODES else 4000
