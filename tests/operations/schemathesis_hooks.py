"""Keeps schemathesis to what our description speaks of.

A session's further members are the vendor's affair: our description says that they are passed on, and the
vendor refuses what it does not know with a 400 that no schema of ours can foretell. So does it with an offer, of
which our description says no more than that it is text.
"""

from __future__ import annotations

from typing import Any

import schemathesis

from service.http.call_bodies import MAX_SDP_BYTES
from tests.support.offers import OFFER

OURS = ("type", "model", "audio")


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Leave out of a session what only the vendor can judge, and offer what a browser would."""
    body = _with_offer(body)
    session = body.get("session") if isinstance(body, dict) else None
    if not isinstance(session, dict):
        return body
    kept = {name: session[name] for name in OURS if name in session}
    if session.get("type") != "transcription":  # the others' audio is the vendor's affair as a whole
        kept.pop("audio", None)
    elif isinstance(kept.get("audio"), dict):
        kept["audio"] = _only_the_model(kept["audio"])
    return {**body, "session": kept}


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    """Leave out models of another kind, whose names are learned from answers: that is no matter of a schema."""
    session = body.get("session") if isinstance(body, dict) else None
    kind = session.get("type", "realtime") if isinstance(session, dict) else "realtime"
    if "translations" in context.operation.path:
        kind = "translation"
    beginning = {"live": "gpt-live-", "realtime": "gpt-realtime-"}.get(
        str(kind), "of no model that is learned"
    )
    ears = _learned_models(session.get("audio")) if isinstance(session, dict) else []  # of transcription
    return not ears and all(model.startswith(beginning) for model in _learned_models(body))


def _learned_models(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    model = value.get("model")
    found = [model] if isinstance(model, str) and model.startswith("gpt-") else []
    return found + [name for member in value.values() for name in _learned_models(member)]


@schemathesis.hook
def before_call(_context: Any, case: Any, _options: Any) -> None:
    """Do the same where the body is not a generated one."""
    case.body = map_body(_context, case.body)


def _with_offer(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    if isinstance(body.get("sdp"), str) and 0 < len(body["sdp"]) <= MAX_SDP_BYTES:
        body = {**body, "sdp": OFFER}
    if isinstance(body.get("transport"), dict):
        body = {**body, "transport": _with_offer(body["transport"])}
    return body


def _only_the_model(audio: dict[str, Any]) -> dict[str, Any]:
    inner: Any = audio
    for name in ("input", "transcription"):
        inner = inner.get(name) if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or "model" not in inner:
        return audio
    return {"input": {"transcription": {"model": inner["model"]}}}
