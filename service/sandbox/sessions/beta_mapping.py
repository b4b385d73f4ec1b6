"""Conversion of sessions, responses and items between today's form and the beta's flat one."""

from __future__ import annotations

from service.sandbox.errors import invalid_value
from service.sandbox.schemas.beta import DEFAULT_TEMPERATURE
from service.sandbox.sessions.configuration import Config

_FORMATS: dict[str, Config] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
_OLD_FORMATS = {new["type"]: old for old, new in _FORMATS.items()}
_OLD_CONTENT = {"output_text": "text", "output_audio": "audio"}
_NEW_CONTENT = {old: new for new, old in _OLD_CONTENT.items()}


def session_to_ga(flat: Config) -> Config:
    """Convert a beta session to today's form; members that only the beta had are left out."""
    session = _generation_to_ga(flat)
    session |= {name: flat[name] for name in ("model", "tracing") if name in flat}
    input_names = {
        "noise_reduction": "input_audio_noise_reduction",
        "transcription": "input_audio_transcription",
        "turn_detection": "turn_detection",
    }
    audio_input = {new: flat[old] for new, old in input_names.items() if old in flat}
    if "input_audio_format" in flat:
        audio_input["format"] = _FORMATS[flat["input_audio_format"]]
    if audio_input:
        session.setdefault("audio", {})["input"] = audio_input
    return session


def session_from_ga(session: Config, *, temperature: float | None = None) -> Config:
    """Convert a complete session to the beta's form."""
    audio_input, audio_output = session["audio"]["input"], session["audio"]["output"]
    detection = audio_input["turn_detection"]
    return {
        "id": session["id"],
        "object": session["object"],
        "model": session["model"],
        "modalities": _modalities(session["output_modalities"]),
        "instructions": session["instructions"],
        "voice": audio_output["voice"],
        "input_audio_format": _OLD_FORMATS[audio_input["format"]["type"]],
        "output_audio_format": _OLD_FORMATS[audio_output["format"]["type"]],
        "input_audio_transcription": audio_input["transcription"],
        "input_audio_noise_reduction": audio_input["noise_reduction"],
        "turn_detection": detection and {k: v for k, v in detection.items() if k != "idle_timeout_ms"},
        "tools": session["tools"],
        "tool_choice": session["tool_choice"],
        "temperature": DEFAULT_TEMPERATURE if temperature is None else temperature,
        "max_response_output_tokens": session["max_output_tokens"],
        "speed": audio_output["speed"],
        "tracing": session["tracing"],
    }


def response_from_ga(response: Config, *, temperature: float) -> Config:
    """Convert a response to the beta's form."""
    output = response["audio"]["output"]
    beta = {name: value for name, value in response.items() if name not in {"audio", "output_modalities"}}
    return beta | {
        "output": [item_from_ga(item) for item in response["output"]],
        "modalities": _modalities(response["output_modalities"]),
        "voice": output["voice"],
        "output_audio_format": _OLD_FORMATS[output["format"]["type"]],
        "temperature": temperature,
        "usage": response["usage"] and _usage_from_ga(response["usage"]),
    }


def _generation_to_ga(flat: Config) -> Config:
    kept = ("instructions", "tools", "tool_choice")
    ga = {name: flat[name] for name in kept if name in flat}
    if "modalities" in flat:
        ga["output_modalities"] = ["audio"] if "audio" in flat["modalities"] else ["text"]
    for name in ("max_output_tokens", "max_response_output_tokens"):
        if name in flat:
            ga["max_output_tokens"] = flat[name]
    output: Config = {name: flat[name] for name in ("voice", "speed") if name in flat}
    if "output_audio_format" in flat:
        output["format"] = _FORMATS[flat["output_audio_format"]]
    if output:
        ga["audio"] = {"output": output}
    return ga


def response_to_ga(flat: Config) -> Config:
    """Convert the settings of a beta response to today's form."""
    response = _generation_to_ga(flat)
    response |= {name: flat[name] for name in ("conversation", "metadata") if name in flat}
    if flat.get("input") is not None:
        response["input"] = [item_to_ga(item) for item in flat["input"]]
    return response


def check_item(item: Config) -> None:
    """Refuse what came after the beta: images, and items of MCP servers.

    Raises:
        ApiError: it is one of these.
    """
    content = item.get("content")
    parts = content if isinstance(content, list) else []
    if str(item.get("type")).startswith("mcp_"):
        raise invalid_value(f"Invalid value: '{item['type']}'. The beta has no such items.", "item.type")
    if any(isinstance(part, dict) and part.get("type") == "input_image" for part in parts):
        raise invalid_value("Invalid value: 'input_image'. The beta has no images.", "item.content")


def item_to_ga(item: Config) -> Config:
    """Convert an item of a beta client to today's form."""
    return _with_content(item, _NEW_CONTENT)


def item_from_ga(item: Config) -> Config:
    """Convert an item to the beta's form."""
    return _with_content(item, _OLD_CONTENT)


def _with_content(item: Config, names: dict[str, str]) -> Config:
    parts = item.get("content")
    if not isinstance(parts, list):
        return item
    return {
        **item,
        "content": [
            {**part, "type": names.get(str(part.get("type")), part.get("type"))}
            if isinstance(part, dict)
            else part
            for part in parts
        ],
    }


def _usage_from_ga(usage: Config) -> Config:
    """Leave out what the beta did not count: images, and the kinds of cached tokens."""
    details = usage["input_token_details"]
    counted = {name: details[name] for name in ("text_tokens", "audio_tokens", "cached_tokens")}
    return {**usage, "input_token_details": counted}


def _modalities(output: list[str]) -> list[str]:
    return ["text"] if output == ["text"] else ["audio", "text"]
