"""HTTP routes of calls: opening them with an SDP offer, ending them, and listing them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import TypeAdapter

from service.sandbox import json_text, models
from service.sandbox.azure import client_events, require_secret
from service.sandbox.calls.call import Api, Call, Opened
from service.sandbox.calls.registry import Offer
from service.sandbox.credentials import SECRET_PREFIX, Secret, bearer
from service.sandbox.errors import ApiError, invalid_value, missing_parameter
from service.sandbox.faults import NoResponse, fault_for
from service.sandbox.http.routes import BASE_PATH, controls, read_json, require_key
from service.sandbox.http.state import NOTICE, current
from service.sandbox.ids import new_id
from service.sandbox.live.checks import check_opening
from service.sandbox.minting import requested_model
from service.sandbox.opening import call_configuration, live_configuration
from service.sandbox.recorder import worth_keeping
from service.sandbox.schemas.session import AnySession
from service.sandbox.schemas.validation import check
from service.sandbox.sessions.configuration import Config
from service.sandbox.sessions.media import CloseReason, EndedBy
from service.sandbox.webrtc.network import has_interface
from service.vendors import wire

calls = Blueprint("calls", __name__, url_prefix=BASE_PATH)

LIVE_SESSIONS_PATH = "/live/sessions"

_SDP = "application/sdp"
_ANSWER_TYPE = "text/plain; charset=utf-8"
"""What the vendor labels its SDP answers with (observed)."""

_MAX_CHANNEL_ID = 65_534
_NO_INTERFACE = (
    "No network interface is up but loopback: a browser will not connect, unless it is Chromium with "
    "--allow-loopback-in-peer-connection. WebRTC needs an interface that is up, not the Internet."
)
_ENDED_BY: Mapping[CloseReason, EndedBy] = {
    "content": "reset",
    "expired": "expired",
    "remote_hangup": "peer",
    "connection_lost": "peer",
}
_SESSION: TypeAdapter[Any] = TypeAdapter(AnySession)


@calls.post(wire.CALLS_PATH)
def create_call() -> Response:
    """Open a call for a conversation or a transcription."""
    return _create_realtime(wire.CALLS_PATH, {"realtime", "transcription"})


@calls.post(wire.TRANSLATION_CALLS_PATH)
def create_translation_call() -> Response:
    """Open a call for a translation."""
    return _create_realtime(wire.TRANSLATION_CALLS_PATH, {"translation"})


@calls.post(LIVE_SESSIONS_PATH)
def create_live_session() -> Response:
    """Open a Live session, which begins with this request whether or not a client connects."""
    require_key()
    if request.mimetype != "application/json":
        raise ApiError("We could not parse the JSON body of your request.", code="invalid_json")
    body = read_json()
    fault = fault_for(requested_model(body))
    if fault:
        return fault()
    check_opening(body)
    session = live_configuration(body["session"], current().azure)
    sdp = body["transport"]["sdp"]
    if not sdp.endswith("\r\n"):
        message = "Invalid SDP offer: its last line does not end in CRLF."
        raise ApiError(message, code="invalid_offer", param="transport.sdp")
    opened = _opened(new_id("live"), "live", body["session"], session)
    answer = current().calls.open_live(opened, Offer(sdp, "transport.sdp"))
    if opened.model == "fault-lost":
        return NoResponse()
    session = {} if opened.model == "fault-no-location" else {"id": opened.id}
    response = jsonify({"session": session, "transport": {"type": "webrtc", "sdp": answer}})
    response.status_code = 201
    return response


@calls.post(wire.CALLS_PATH + "/<call_id>/hangup")
def hang_up_call(call_id: str) -> Response:
    """End a Realtime call that was opened with a standard key."""
    return _hang_up(find_call("realtime", call_id))


@calls.post(f"{LIVE_SESSIONS_PATH}/<call_id>/hangup")
def hang_up_live_session(call_id: str) -> Response:
    """End a Live session."""
    return _hang_up(find_call("live", call_id))


@controls.get("/calls")
def list_calls() -> Response:
    """Report all calls; the vendor has no such route."""
    return jsonify(current().calls.report())


@controls.post("/calls/<call_id>/end")
def end_call(call_id: str) -> Response:
    """End a call for a reason that no offline client can cause (``{"reason": "content"}``); 204."""
    reason = (request.get_json(silent=True) or {}).get("reason", "content")
    call = current().calls.find(call_id)
    if call is None:
        raise _not_found("live")
    if reason not in _ENDED_BY:
        raise invalid_value(f"Invalid 'reason': expected one of {', '.join(_ENDED_BY)}.", "reason")
    call.end(_ENDED_BY[reason], reason)
    return Response(status=204)


def find_call(api: str, call_id: str, *, connected: bool = False) -> Call:
    """Return an open call of the project that the request's key names, for ending or watching it.

    ``connected`` is set where the vendor knows only those calls whose client has been there.

    Raises:
        ApiError: 401 for the key, 404 where there is no such call; 500 or 404 where the call's model asks for it.
    """
    require_key()
    call = current().calls.find(call_id)
    theirs = request.headers.get(wire.PROJECT_HEADER, "")
    if (
        call is None
        or call.opened.api != api
        or call.opened.by_secret
        or (connected and not call.was_connected)
        or (theirs and call.opened.project and theirs != call.opened.project)
    ):
        raise _not_found(api)
    if call.take_refusal():
        if call.opened.model == "fault-hangup-404":
            raise _not_found(api)
        message = "The server had an error while processing your request. Sorry about that!"
        raise ApiError(message, kind="server_error", status=500)
    return call


def _not_found(api: str) -> ApiError:
    if api == "live":
        message = "No session found for the provided session_id"
        return ApiError(message, code="session_id_not_found", param="session_id", status=404)
    message = "No session found for the provided call_id"
    return ApiError(message, code="call_id_not_found", param="", status=404)


def _hang_up(call: Call) -> Response:
    call.end("hangup")
    return Response(status=200)


def _create_realtime(path: str, session_types: set[str]) -> Response:
    """Open a call; a secret is used up only by an offer that can be answered."""
    secret = _secret(session_types)
    posted, sdp = (
        (None, request.get_data().decode(errors="replace")) if request.mimetype == _SDP else _read_form()
    )
    named = requested_model(secret.session if secret else posted) or request.args.get("model")
    fault = fault_for(named)
    if fault:
        return fault()
    if posted is not None:
        check(_SESSION, posted, root="session")
    use: models.Use = "translation" if "translation" in session_types else "realtime"
    config = call_configuration(posted, request.args.get("model"), secret, use, session_id=new_id("sess"))
    if not sdp:
        raise missing_parameter("sdp")
    call_id = f"rtc_{config['id'].partition('_')[2]}"
    if posted is None:
        posted = config if secret else {"type": use, "model": config["model"]}
    opened = _opened(call_id, "realtime", posted, config, by_secret=secret is not None)
    with current().secrets.claim(secret) if secret else nullcontext():
        answer = current().calls.open_realtime(opened, config, Offer(sdp, "sdp", _channel_id()))
    if opened.model == "fault-lost":
        return NoResponse()
    headers = {} if opened.model == "fault-no-location" else {"Location": f"{BASE_PATH}{path}/{call_id}"}
    return Response(answer, status=201, content_type=_ANSWER_TYPE, headers=headers)


def _opened(call_id: str, api: Api, session: Config, config: Config, *, by_secret: bool = False) -> Opened:
    current_app.logger.info("%s opens %s. %s", request.path, call_id, NOTICE)
    if not has_interface():
        current_app.logger.warning(_NO_INTERFACE)
    return Opened(
        id=call_id,
        api=api,
        model=str(config.get("model", "")),
        session=session,
        project=request.headers.get(wire.PROJECT_HEADER, ""),
        headers=worth_keeping(request.headers),
        # On Azure, where nothing but a secret opens a call, the key finds it all the same.
        by_secret=by_secret and current().azure is None,
        client_events=client_events(request.args) if current().azure and api == "realtime" else None,
    )


def _secret(session_types: set[str]) -> Secret | None:
    """Return the secret that authenticates the call, or None for a standard key."""
    if current().azure:
        require_secret(request.headers.get(wire.AUTHORIZATION_HEADER))
    credential = bearer(request.headers.get(wire.AUTHORIZATION_HEADER))
    if not credential.startswith(SECRET_PREFIX):
        require_key()
        return None
    secret = current().secrets.find(credential)
    if secret.session["type"] not in session_types:
        message = f"This ephemeral token was created for a {secret.session['type']} session."
        raise invalid_value(message, "session.type")
    return secret


def _read_form() -> tuple[Config | None, str]:
    """Read the multipart form that servers send: a session, which is not checked yet, and the offer."""
    uploads = {name: upload.read().decode(errors="replace") for name, upload in request.files.items()}
    parts = {**request.form, **uploads}
    session = None
    if "session" in parts:
        try:
            session = json_text.parse(parts["session"])
        except ValueError:
            message = "The form's 'session' is not valid JSON."
            raise ApiError(message, code="invalid_json", param="session") from None
    if "sdp" not in parts:
        raise missing_parameter("sdp")
    return session, str(parts["sdp"])


def _channel_id() -> int | None:
    """Return the id of a pre-negotiated data channel (``?dcid=``)."""
    given = request.args.get("dcid")
    if given is None:
        return None
    if not given.isdecimal() or int(given) > _MAX_CHANNEL_ID:
        raise invalid_value(f"Invalid 'dcid': expected a number from 0 to {_MAX_CHANNEL_ID}.", "dcid")
    return int(given)
