"""What this service itself settles of a session, as JSON Schema: its type, and that its model is named.

All else of a session's shape is the vendor's, and is passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.core.model import SessionType
from service.vendors.wire import model_path

Schema = dict[str, Any]

_MODEL: Schema = {"type": "string", "minLength": 1}
_NAMELESS: tuple[SessionType, ...] = ("transcription", "translation")
"""The types that DEFAULT_MODEL does not fill in for."""


def token_body(schema: Schema) -> Schema:
    """Add what ``POST /token`` settles; a model may be named at the top or in the session, once."""
    session = _typed(schema["properties"]["session"], ("realtime", *_NAMELESS))
    once = {"required": ["model", "session"], "properties": {"session": {"required": ["model"]}}}
    named = [
        {
            "if": {"required": ["session"], "properties": {"session": _is(session_type)}},
            "then": {
                "anyOf": [{"required": ["model"]}, {"properties": {"session": _names_model(session_type)}}]
            },
        }
        for session_type in _NAMELESS
    ]
    return {**schema, "properties": {**schema["properties"], "session": session}, "not": once, "allOf": named}


def client_secret_body(schema: Schema) -> Schema:
    """Add what the vendor's route for conversations and transcriptions settles."""
    session = _typed(schema["properties"]["session"], ("realtime", "transcription"))
    session |= {"if": _is("transcription"), "then": _names_model("transcription")}
    return {**schema, "properties": {**schema["properties"], "session": session}}


def translation_secret_body(schema: Schema) -> Schema:
    """Add what the vendor's route for translations settles: it knows no ``type``."""
    session = {
        **schema["properties"]["session"],
        **_names_model("translation"),
        "not": {"required": ["type"]},
    }
    return {**schema, "properties": {**schema["properties"], "session": session}, "required": ["session"]}


def _typed(session: Schema, types: Sequence[SessionType]) -> Schema:
    return {**session, "properties": {"type": {"enum": list(types), "default": "realtime"}, "model": _MODEL}}


def _is(session_type: SessionType) -> Schema:
    return {"required": ["type"], "properties": {"type": {"const": session_type}}}


def _names_model(session_type: SessionType) -> Schema:
    schema = _MODEL
    for member in reversed(model_path(session_type)):
        schema = {"type": "object", "required": [member], "properties": {member: schema}}
    return schema
