"""WebRTC calls: an SDP offer in, an answer out. No media flows: the events of a session need a WebSocket."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, request
from pydantic import TypeAdapter

from service.sandbox import sdp
from service.sandbox.credentials import SECRET_PREFIX, Secret, bearer
from service.sandbox.errors import ApiError, invalid_value, missing_parameter
from service.sandbox.http.routes import BASE_PATH, require_key
from service.sandbox.http.state import current
from service.sandbox.ids import new_id
from service.sandbox.schemas.session import AnySession
from service.sandbox.schemas.validation import check
from service.vendors import wire

calls = Blueprint("calls", __name__, url_prefix=BASE_PATH)

_SDP = "application/sdp"
_SESSION: TypeAdapter[Any] = TypeAdapter(AnySession)


@calls.post(wire.CALLS_PATH)
def create_call() -> Response:
    """Open a call for a conversation or a transcription."""
    return _answer_offer(wire.CALLS_PATH, {"realtime", "transcription"})


@calls.post(wire.TRANSLATION_CALLS_PATH)
def create_translation_call() -> Response:
    """Open a call for a translation."""
    return _answer_offer(wire.TRANSLATION_CALLS_PATH, {"translation"})


def _answer_offer(path: str, session_types: set[str]) -> Response:
    """Answer the offer; a secret is used up only by an offer that can be answered."""
    secret = _secret(session_types)
    offer = request.get_data(as_text=True) if request.mimetype == _SDP else _form_offer()
    try:
        answer = sdp.answer(offer)
    except sdp.InvalidOfferError as error:
        raise ApiError(f"Invalid SDP offer: {error}.", code="invalid_offer", param="sdp") from error
    if secret:
        current().secrets.use(secret)
    location = f"{BASE_PATH}{path}/{new_id('rtc')}"
    return Response(answer, status=201, content_type=_SDP, headers={"Location": location})


def _secret(session_types: set[str]) -> Secret | None:
    """Return the secret that authenticates the call, or None for a standard key."""
    credential = bearer(request.headers.get(wire.AUTHORIZATION_HEADER))
    if not credential.startswith(SECRET_PREFIX):
        require_key()
        return None
    secret = current().secrets.find(credential)
    if secret.session["type"] not in session_types:
        message = f"This ephemeral token was created for a {secret.session['type']} session."
        raise invalid_value(message, "session.type")
    return secret


def _form_offer() -> str:
    """Read the offer from the multipart form that servers send, and check the session beside it."""
    parts = {**request.form, **{name: upload.read().decode() for name, upload in request.files.items()}}
    if "session" in parts:
        try:
            session = json.loads(parts["session"])
        except ValueError:
            message = "The form's 'session' is not valid JSON."
            raise ApiError(message, code="invalid_json", param="session") from None
        check(_SESSION, session, root="session")
    if "sdp" not in parts:
        raise missing_parameter("sdp")
    return str(parts["sdp"])
