"""Azure OpenAI as the sandbox speaks it with ``--azure``: base path, header, deployments, refusals. No I/O.

Documented: the base path, ``api-key`` or an Entra ID token, ``model`` as the name of a deployment, that ``api-version``
is refused, and the event types that ``webrtcfilter=on`` lets through. Observed: the words of the refusals, calls that
take client secrets alone, and sidebands by the key on calls that were opened by a secret, which hear all events. Also
observed: the sideband of a Live session answers 404 until its client is connected.
Assumed: the filter holds back errors too, as they are not among those types, and other values of it filter nothing.
Unknown, and refused here: a client secret in a WebSocket's subprotocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from werkzeug.datastructures import Headers

from service.sandbox import models
from service.sandbox.credentials import SECRET_PREFIX, bearer
from service.sandbox.errors import ApiError
from service.sandbox.faults import fault_for
from service.vendors import wire

PREFIX = wire.AZURE_BASE_PATH.removesuffix("/v1")
"""What comes before the paths of the vendor's own API."""

FILTERED_EVENTS: Final = frozenset({
    "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped",
    "output_audio_buffer.started", "output_audio_buffer.stopped",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.added", "conversation.item.created",
    "response.output_text.delta", "response.output_text.done",
    "response.output_audio_transcript.delta", "response.output_audio_transcript.done",
})  # fmt: skip
"""All that reaches a browser's data channel with ``webrtcfilter=on``, so that instructions and tools stay private.

https://learn.microsoft.com/azure/foundry/openai/how-to/realtime-audio-webrtc
"""

_TRANSCRIPTION = ("audio", "input", "transcription")
_USES: tuple[models.Use, ...] = ("realtime", "live", "transcription", "translation")


class Azure:
    """One resource. ``deployments`` maps names to models; every model is also deployed under its own name."""

    def __init__(self, deployments: Mapping[str, str]) -> None:
        unknown = [model for model in deployments.values() if not _is_model(model)]
        if unknown:
            raise ValueError(f"there is no model {unknown[0]}")
        self._deployments = dict(deployments)

    def model_of(self, deployment: str) -> str:
        """Return the model that is deployed under a name.

        Raises:
            ApiError: 404, there is no such deployment.
        """
        if deployment in self._deployments:
            return self._deployments[deployment]
        if _is_model(deployment) or fault_for(deployment):
            return deployment
        message = (
            "The API deployment for this resource does not exist. If you created the deployment within the last "
            "5 minutes, please wait a moment and try again."
        )
        raise ApiError(message, code="DeploymentNotFound", status=404)

    def deployed(self, session: Any, *, as_use: models.Use) -> Any:
        """Return a session of a request with models for deployments; an invalid one as it is, for later checks.

        Raises:
            ApiError: 404 for an unknown deployment, 400 for one of another kind of model.
        """
        if not isinstance(session, dict):
            return session
        session = self._replace_model(session, as_use)
        inner, holders = session, []
        for member in _TRANSCRIPTION:
            if not isinstance(inner.get(member), dict):
                return session
            holders.append((inner, member))
            inner = inner[member]
        inner = self._replace_model(
            inner, "transcription" if session.get("type") == "transcription" else None
        )
        for holder, member in reversed(holders):
            inner = {**holder, member: inner}
        return inner

    def _replace_model(self, holder: dict[str, Any], use: models.Use | None) -> dict[str, Any]:
        name = holder.get("model")
        if not isinstance(name, str):
            return holder
        model = self.model_of(name)
        if use and models.find(model, use) is None and not fault_for(model):
            message = f"The realtime operation does not work with the specified model, {name}."
            raise ApiError(message, code="OperationNotSupported")
        return {**holder, "model": model}


def _is_model(name: str) -> bool:
    return any(models.find(name, use) for use in _USES)


def check_account(key: str, token: str) -> None:
    """Check that a request carries a resource's key or an Entra ID token: any text but ``invalid…`` is one.

    Raises:
        ApiError: 401, in Azure's words.
    """
    credential = key or token
    if not credential or credential.startswith(("invalid", SECRET_PREFIX)):
        message = (
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for "
            "an active subscription and use a correct regional API endpoint for your resource."
        )
        raise ApiError(message, code="401", status=401)


def require_secret(authorization: str | None) -> None:
    """Check that a call is opened by a client secret.

    Raises:
        ApiError: 401, it is opened by a key or an Entra ID token.
    """
    if not bearer(authorization).startswith(SECRET_PREFIX):
        message = "This operation requires ephemeral tokens for authentication"
        raise ApiError(message, code="Unauthorized", status=401)


def socket_credential(headers: Headers, query: Mapping[str, str]) -> str:
    """Return what a WebSocket is opened with: a key, as a header or in the URL, an Entra ID token, or a secret.

    Raises:
        ApiError: 401, there is none of these.
    """
    key = headers.get(wire.AZURE_KEY_HEADER) or query.get(wire.AZURE_KEY_HEADER, "")
    token = bearer(headers.get(wire.AUTHORIZATION_HEADER))
    if not token.startswith(SECRET_PREFIX):
        check_account(key, token)
    return token or key


def client_events(query: Mapping[str, str]) -> frozenset[str] | None:
    """Return the types of events that a call's client is sent; ``None`` for all."""
    return FILTERED_EVENTS if query.get("webrtcfilter") == "on" else None


def refuse_version(query: Mapping[str, str]) -> None:
    """Refuse an ``api-version``; an empty one passes, as the SDKs' Azure clients are told to send it here.

    Raises:
        ApiError: 400.
    """
    if query.get("api-version"):
        message = "api-version query parameter is not allowed when using /v1 path"
        raise ApiError(message, code="BadRequest")


def inner_path(path: str) -> str | None:
    """Return the path of the vendor's own API, or the sandbox's control, that a path on Azure stands for."""
    if path.startswith(f"{PREFIX}/"):
        return path.removeprefix(PREFIX)
    return path if path.startswith("/sandbox/") else None
