"""What is checked of GPT-Live's bodies and updates before, and by, their schemas."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from service.sandbox.errors import ApiError, invalid_value
from service.sandbox.live.schemas import LiveOpening
from service.sandbox.schemas.validation import check, json_type

_FIXED = frozenset(
    {
        "audio", "client", "idle_timeout_s", "input", "instructions", "model", "safety_identifier", "store",
        "wake_policy",
    }
)  # fmt: skip
"""Members of a session that cannot change once it has started."""

_OPENING: TypeAdapter[Any] = TypeAdapter(LiveOpening)


def check_opening(body: Any) -> None:
    """Check the body of ``POST /live/sessions``.

    Raises:
        ApiError: 400, for the first thing that is wrong.
    """
    if not isinstance(body, dict):
        message = f"Invalid type for the request body: expected an object, but got {json_type(body)} instead."
        raise ApiError(message, code="invalid_type")
    transport = body.get("transport")
    if isinstance(transport, dict):
        if transport.get("type", "webrtc") != "webrtc":
            message = "Only 'webrtc' is supported as transport.type here."
            raise invalid_value(message, "transport.type")
        if not transport.get("sdp"):
            message = "'transport.sdp' must be the client's SDP offer."
            raise invalid_value(message, "transport.sdp")
    if isinstance(body.get("session"), dict):
        _refuse_backends(body["session"])
    check(_OPENING, body)


def check_update(session: Any) -> None:
    """Refuse changes of what is fixed, and of what the sandbox has not got.

    Raises:
        ApiError: where ``session`` asks for one.
    """
    if not isinstance(session, dict):
        return
    for name in session:
        if name in _FIXED:
            param = f"session.{name}"
            raise invalid_value(f"'{param}' cannot change after the start.", param)
    _refuse_backends(session)


def _refuse_backends(session: dict[str, Any]) -> None:
    delegation = session.get("delegation")
    kind = delegation.get("type") if isinstance(delegation, dict) else None
    if kind in {"responses", "decisions"}:
        message = f"The sandbox has no backend model, so 'session.delegation' is 'client' here, not '{kind}'."
        raise invalid_value(message, "session.delegation.type")
    if session.get("triggers"):
        message = "The sandbox has no backend model, so it takes no 'session.triggers'."
        raise invalid_value(message, "session.triggers")
