"""The retired beta's shapes, as a coat over today's: flat sessions and the old names of events.

Source: the vendor's beta reference, as its SDKs still carry it under ``types/beta/realtime``.
"""

from __future__ import annotations

from service.sandbox.refusal import Refusal
from service.sandbox.shapes.beta import DEFAULT_TEMPERATURE, RESPONSE, SESSION
from service.sandbox.talk.channel import Channel, parse
from service.sandbox.talk.server_events import Event
from service.sandbox.talk.sessions import Config
from service.sandbox.validation import check

_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_OLD_FORMATS = {new: old for old, new in _FORMATS.items()}
_OLD_CONTENT = {"output_text": "text", "output_audio": "audio"}
_NEW_CONTENT = {old: new for new, old in _OLD_CONTENT.items()}

_OLD_NAMES = {
    "conversation.item.added": "conversation.item.created",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}
_UNKNOWN_THEN = frozenset({"conversation.item.done", "input_audio_buffer.timeout_triggered"})

BETA_EVENTS_ADDED = frozenset({*_OLD_NAMES.values(), "conversation.created"})
"""Events that only the beta has."""


def session_to_ga(flat: Config) -> Config:
    """Spell a flat session as today's; what the beta alone had is left out."""
    session = _generation_to_ga(flat)
    session |= {name: flat[name] for name in ("model", "tracing") if name in flat}
    listened = {
        "noise_reduction": "input_audio_noise_reduction",
        "transcription": "input_audio_transcription",
        "turn_detection": "turn_detection",
    }
    heard = {new: flat[old] for new, old in listened.items() if old in flat}
    if "input_audio_format" in flat:
        heard["format"] = {"type": _FORMATS[flat["input_audio_format"]]}
    if heard:
        session.setdefault("audio", {})["input"] = heard
    return session


def session_from_ga(session: Config, *, temperature: float | None = None) -> Config:
    """Spell a complete session as the beta did."""
    heard, spoken = session["audio"]["input"], session["audio"]["output"]
    detection = heard["turn_detection"]
    return {
        "id": session["id"],
        "object": session["object"],
        "model": session["model"],
        "modalities": _modalities(session["output_modalities"]),
        "instructions": session["instructions"],
        "voice": spoken["voice"],
        "input_audio_format": _OLD_FORMATS[heard["format"]["type"]],
        "output_audio_format": _OLD_FORMATS[spoken["format"]["type"]],
        "input_audio_transcription": heard["transcription"],
        "input_audio_noise_reduction": heard["noise_reduction"],
        "turn_detection": detection and {k: v for k, v in detection.items() if k != "idle_timeout_ms"},
        "tools": session["tools"],
        "tool_choice": session["tool_choice"],
        "temperature": DEFAULT_TEMPERATURE if temperature is None else temperature,
        "max_response_output_tokens": session["max_output_tokens"],
        "speed": spoken["speed"],
        "tracing": session["tracing"],
    }


class BetaChannel:
    """A conversation in the beta's words.

    Args:
        conversation: today's conversation, which does the work.
    """

    def __init__(self, conversation: Channel) -> None:
        self._inner = conversation
        self._temperature = DEFAULT_TEMPERATURE
        self._conversation_id = conversation.new_id("conv")

    @property
    def ended(self) -> bool:
        """Whether the socket should be closed."""
        return self._inner.ended

    def open(self) -> list[Event]:
        """Greet whoever connected."""
        created = {
            "type": "conversation.created",
            "event_id": self._inner.new_id("event"),
            "conversation": {"id": self._conversation_id, "object": "realtime.conversation"},
        }
        return [*self._told(self._inner.open()), created]

    def receive(self, message: str | bytes) -> list[Event]:
        """Take one message."""
        event_id = None
        try:
            event = parse(message)
            event_id = event["event_id"] if isinstance(event.get("event_id"), str) else None
            return self._told(self._inner.handle(self._to_ga(event)))
        except Refusal as refusal:
            return [self._inner.events.error(refusal, event_id=event_id)]

    def due_in(self) -> float | None:
        """Seconds until there is something to send."""
        return self._inner.due_in()

    def advance(self) -> list[Event]:
        """Give out what is due by now."""
        return self._told(self._inner.advance())

    def _to_ga(self, event: Event) -> Event:
        kind = event["type"]
        if kind == "session.update" and isinstance(event.get("session"), dict):
            check(SESSION, event["session"], root="session")
            self._temperature = event["session"].get("temperature", self._temperature)
            return {**event, "session": {"type": "realtime", **session_to_ga(event["session"])}}
        if kind == "response.create" and isinstance(event.get("response"), dict):
            check(RESPONSE, event["response"], root="response")
            return {**event, "response": _response_to_ga(event["response"])}
        if kind == "conversation.item.create" and isinstance(event.get("item"), dict):
            return {**event, "item": _item_to_ga(event["item"])}
        return event

    def _told(self, events: list[Event]) -> list[Event]:
        return [self._from_ga(event) for event in events if event["type"] not in _UNKNOWN_THEN]

    def _from_ga(self, event: Event) -> Event:
        told = {**event, "type": _OLD_NAMES.get(event["type"], event["type"])}
        if "session" in told:
            told["session"] = session_from_ga(told["session"], temperature=self._temperature)
        if "response" in told:
            told["response"] = self._response_from_ga(told["response"])
        if "item" in told:
            told["item"] = _item_from_ga(told["item"])
        return told

    def _response_from_ga(self, response: Config) -> Config:
        output = response["audio"]["output"]
        told = {name: value for name, value in response.items() if name not in {"audio", "output_modalities"}}
        told |= {
            "output": [_item_from_ga(item) for item in response["output"]],
            "modalities": _modalities(response["output_modalities"]),
            "voice": output["voice"],
            "output_audio_format": _OLD_FORMATS[output["format"]["type"]],
            "temperature": self._temperature,
            "usage": response["usage"] and _usage_from_ga(response["usage"]),
        }
        return told


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
        output["format"] = {"type": _FORMATS[flat["output_audio_format"]]}
    if output:
        ga["audio"] = {"output": output}
    return ga


def _response_to_ga(flat: Config) -> Config:
    response = _generation_to_ga(flat)
    response |= {name: flat[name] for name in ("conversation", "metadata") if name in flat}
    if flat.get("input") is not None:
        response["input"] = [_item_to_ga(item) for item in flat["input"]]
    return response


def _item_to_ga(item: Config) -> Config:
    return _with_content(item, _NEW_CONTENT)


def _item_from_ga(item: Config) -> Config:
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
    """Leave out what was not counted then: images, and what kind the cached tokens are of."""
    details = usage["input_token_details"]
    counted = {name: details[name] for name in ("text_tokens", "audio_tokens", "cached_tokens")}
    return {**usage, "input_token_details": counted}


def _modalities(output: list[str]) -> list[str]:
    return ["text"] if output == ["text"] else ["audio", "text"]
