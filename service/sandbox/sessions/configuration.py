"""Session configurations: the vendor's defaults filled in, and updates applied."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from service.sandbox import models
from service.sandbox.errors import invalid_value

Config = dict[str, Any]
"""A session as JSON."""

DEFAULT_MODEL = "gpt-realtime-2.1"
DEFAULT_INSTRUCTIONS = "You are a helpful, friendly assistant. Answer briefly and in plain words."

SESSION_SECONDS = 3600
"""A session ends after an hour."""

_VAD: dict[str, Config] = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}

_TRANSCRIPTION_VAD = ("type", "threshold", "prefix_padding_ms", "silence_duration_ms")
"""Members of turn detection in a transcription session, which has no response to create or interrupt."""

_PCM: Config = {"type": "audio/pcm", "rate": 24000}

_INPUT: Config = {
    "format": _PCM,
    "transcription": None,
    "noise_reduction": None,
    "turn_detection": _VAD["server_vad"],
}


def complete(config: Config, *, session_id: str) -> Config:
    """Fill in the defaults for the type of session that ``config`` names.

    ``expires_at`` is 0 until the session begins.
    """
    return _COMPLETE[config["type"]](config, session_id)


def _realtime(config: Config, session_id: str) -> Config:
    defaults: Config = {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": DEFAULT_MODEL,
        "output_modalities": ["audio"],
        "instructions": DEFAULT_INSTRUCTIONS,
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": 0,
        "audio": {"input": _INPUT, "output": {"format": _PCM, "voice": "alloy", "speed": 1.0}},
        "include": None,
    }
    return update(defaults, config)


def _transcription(config: Config, session_id: str) -> Config:
    defaults: Config = {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "id": session_id,
        "expires_at": 0,
        "audio": {"input": _INPUT},
        "include": None,
    }
    return update(defaults, config)


def _translation(config: Config, session_id: str) -> Config:
    defaults: Config = {
        "type": "translation",
        "id": session_id,
        "model": config.get("model"),
        "expires_at": 0,
        "audio": {"input": {"transcription": None, "noise_reduction": None}, "output": {"language": "en"}},
    }
    return update(defaults, config)


_COMPLETE = {"realtime": _realtime, "transcription": _transcription, "translation": _translation}


def update(session: Config, change: Config) -> Config:
    """Apply an update: ``audio`` is merged member by member, everything else is replaced.

    Raises:
        ApiError: if the transcription model does not take one of its settings.
    """
    changed = deepcopy(session)
    changed.update({name: deepcopy(value) for name, value in change.items() if name != "audio"})
    for side, members in (change.get("audio") or {}).items():
        changed["audio"].setdefault(side, {}).update(
            {name: _completed(name, value) for name, value in (members or {}).items()}
        )
    audio_input = changed["audio"]["input"]
    model = _transcription_model(audio_input["transcription"] or {})
    if changed["type"] == "transcription" and audio_input["turn_detection"]:
        if model and "turn_detection" not in model.takes:
            if ((change.get("audio") or {}).get("input") or {}).get("turn_detection"):
                message = "Turn detection is not supported for this transcription model."
                raise invalid_value(message, "session.audio.input.turn_detection")
            audio_input["turn_detection"] = None
        else:
            turns = audio_input["turn_detection"]
            audio_input["turn_detection"] = {k: turns[k] for k in _TRANSCRIPTION_VAD if k in turns}
    return changed


def _transcription_model(transcription: Config) -> models.Model | None:
    """Return the model that transcribes, after checking that it exists and takes its settings."""
    path, name = "session.audio.input.transcription", transcription.get("model")
    if name is None:
        return None
    model = models.find(name, "transcription")
    if model is None:
        supported = ", ".join(f"'{known}'" for known in models.names("transcription"))
        raise invalid_value(f"Invalid value: '{name}'. Supported values are: {supported}.", f"{path}.model")
    for setting, value in transcription.items():
        if value and setting != "model" and setting not in model.takes:
            message = f"'{setting}' is not supported for the transcription model '{name}'."
            raise invalid_value(message, f"{path}.{setting}")
    return model


def _completed(name: str, value: Any) -> Any:
    """Fill in the defaults of a nested object."""
    if name == "turn_detection" and value:
        return {**_VAD[value["type"]], **value}
    if name == "format" and value and value["type"] == _PCM["type"]:
        return dict(_PCM)
    if name == "voice" and isinstance(value, dict):
        return value["id"]
    return deepcopy(value)
