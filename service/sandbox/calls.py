"""WebRTC calls: an SDP offer in, an answer out. No media flows: the events of a session need a WebSocket."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, request
from pydantic import TypeAdapter

from service.sandbox import sdp
from service.sandbox.credentials import bearer
from service.sandbox.ids import new_id
from service.sandbox.refusal import Refusal, missing
from service.sandbox.routes import BASE_PATH, require_key
from service.sandbox.shapes.session import Session
from service.sandbox.state import current
from service.sandbox.validation import check
from service.sandbox.vault import SECRET_PREFIX, Secret
from service.vendors import wire

calls = Blueprint("calls", __name__, url_prefix=BASE_PATH)

_SDP = "application/sdp"
_SESSION: TypeAdapter[Any] = TypeAdapter(Session)


@calls.post(wire.CALLS_PATH)
def create_call() -> Response:
    """Begin a call of a conversation."""
    return _answered(wire.CALLS_PATH, {"realtime", "transcription"})


@calls.post(wire.TRANSLATION_CALLS_PATH)
def create_translation_call() -> Response:
    """Begin a call of a translation."""
    return _answered(wire.TRANSLATION_CALLS_PATH, {"translation"})


def _answered(path: str, kinds: set[str]) -> Response:
    """Answer the offer; a secret is used up only by an offer that could be answered."""
    secret = _credential(kinds)
    offer = _offer()
    try:
        answer = sdp.answer(offer)
    except sdp.InvalidOfferError as error:
        raise Refusal(f"Invalid SDP offer: {error}.", code="invalid_offer", param="sdp") from error
    if secret:
        current().vault.use(secret)
    location = f"{BASE_PATH}{path}/{new_id('rtc')}"
    return Response(answer, status=201, content_type=_SDP, headers={"Location": location})


def _credential(kinds: set[str]) -> Secret | None:
    """Find the secret that the call is made with; None for a standard key, which may do anything."""
    credential = bearer(request.headers.get(wire.AUTHORIZATION_HEADER))
    if not credential.startswith(SECRET_PREFIX):
        require_key()
        return None
    secret = current().vault.find(credential)
    if secret.session["type"] not in kinds:
        message = f"This ephemeral token was created for a {secret.session['type']} session."
        raise Refusal(message, code="invalid_value", param="session.type")
    return secret


def _offer() -> str:
    if request.mimetype != _SDP:
        return _form_offer()
    return request.get_data(as_text=True)


def _form_offer() -> str:
    """Read the multipart form that servers send, and check the session in it."""
    parts = {**request.form, **{name: upload.read().decode() for name, upload in request.files.items()}}
    if "session" in parts:
        try:
            session = json.loads(parts["session"])
        except ValueError:
            raise Refusal(
                "The form's 'session' is not valid JSON.", code="invalid_json", param="session"
            ) from None
        check(_SESSION, session, root="session")
    if "sdp" not in parts:
        raise missing("sdp")
    return str(parts["sdp"])
