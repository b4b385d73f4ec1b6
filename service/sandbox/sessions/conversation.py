"""Conversations: items, responses, and interruptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from service.sandbox.audio import pcm
from service.sandbox.audio.input_buffer import MAX_MS
from service.sandbox.errors import ApiError, invalid_value
from service.sandbox.ids import NewId
from service.sandbox.sessions import replies
from service.sandbox.sessions.base import Handler, decode_audio
from service.sandbox.sessions.configuration import Config
from service.sandbox.sessions.events import Event
from service.sandbox.sessions.items import check_reference
from service.sandbox.sessions.listening import Listening
from service.sandbox.sessions.response import Response
from service.sandbox.sessions.response_request import ResponseRequest
from service.sandbox.sessions.scheduler import Clock, TimedEvents

_RATE_LIMITS_PAUSE = 0.04
_RATE_LIMITS = [
    {"name": "requests", "limit": 10000, "remaining": 9999, "reset_seconds": 0.006},
    {"name": "tokens", "limit": 800000, "remaining": 795000, "reset_seconds": 0.375},
]
_IDLE = "idle timeout"


class Conversation(Listening):
    """A conversation with the model; audio answers are sent faster than they play, unless ``real_time`` is set."""

    real_time: ClassVar[bool] = False

    def __init__(self, session: Config, *, new_id: NewId, clock: Clock) -> None:
        super().__init__(session, new_id=new_id, clock=clock)
        self._id = new_id("conv")
        self._responses: dict[str, Response] = {}
        self._has_spoken = False

    def check_update(self, change: Config) -> None:
        """Refuse another model, and another voice once audio was sent."""
        if change.get("model", self.session["model"]) != self.session["model"]:
            raise invalid_value("The model of a session cannot be changed.", "session.model")
        output = (change.get("audio") or {}).get("output") or {}
        voice = self.session["audio"]["output"]["voice"]
        if self._has_spoken and output.get("voice", voice) != voice:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise ApiError(message, code="cannot_update_voice", param="session.audio.output.voice")

    def create_item(self, event: Event) -> list[Event]:
        """Add the client's item to the conversation."""
        check_reference(event["item"], self.items)
        given = {name: value for name, value in event["item"].items() if value is not None}
        item = {"id": self.new_id("item"), **given}
        if not item["type"].startswith("mcp_"):
            item = {"object": "realtime.item", "status": "completed"} | item
        audio = b""
        if "content" in item:
            item["content"], audio = self._take_audio(item["content"])
        if item["type"] == "function_call":
            item.setdefault("call_id", self.new_id("call"))
        return self.add_item(item, after=event.get("previous_item_id"), audio=audio)

    def retrieve_item(self, event: Event) -> list[Event]:
        """Return an item with its audio."""
        item = self.items.with_audio(event["item_id"], self._encodings())
        return [self.events("conversation.item.retrieved", item=item)]

    def delete_item(self, event: Event) -> list[Event]:
        """Delete an item."""
        self.items.remove(event["item_id"])
        return [self.events("conversation.item.deleted", item_id=event["item_id"])]

    def truncate_item(self, event: Event) -> list[Event]:
        """Cut the part of an answer that the user did not hear, in words and audio."""
        item_id, end_ms = event["item_id"], event["audio_end_ms"]
        item = self.items.get(item_id, verb="truncate")
        parts = item.get("content", [])
        part = parts[event["content_index"]] if event["content_index"] < len(parts) else {}
        if part.get("type") != "output_audio":
            message = "Only model output audio messages can be truncated."
            raise invalid_value(message, "item_id")
        audio = self.items.audio.get(item_id, b"")
        spoken_ms = pcm.milliseconds(audio)
        if end_ms > spoken_ms:
            message = f"Audio content of {spoken_ms}ms is already shorter than {end_ms}ms"
            raise invalid_value(message, "audio_end_ms")
        words = (part.get("transcript") or "").split(" ")
        part["transcript"] = " ".join(words[: len(words) * end_ms // max(1, spoken_ms)])
        self.items.audio[item_id] = audio[: end_ms * pcm.BYTES_PER_MS]
        members = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
        return [self.events("conversation.item.truncated", **members)]

    def clear_output(self, _event: Event) -> list[Event]:
        """Refuse: over a WebSocket, the client plays the audio itself."""
        message = "The event 'output_audio_buffer.clear' is only supported over WebRTC and SIP."
        raise invalid_value(message, "type")

    def create_response(self, event: Event) -> list[Event]:
        """Start a response."""
        return self._respond(event.get("response") or {})

    def cancel_response(self, event: Event) -> list[Event]:
        """Cancel the response that is named, or else that of the conversation."""
        response_id = event.get("response_id")
        response = self._responses.get(response_id) if response_id else self._active_response()
        if response is None or not response.active:
            raise ApiError("Cancellation failed: no active response found", code="response_cancel_not_active")
        return self._stop(response, "client_cancelled")

    def on_speech(self) -> list[Event]:
        """Cancel the response that the user interrupts."""
        self.scheduler.stop(_IDLE)
        response = self._active_response()
        if response is None or not (self.turn_detection or {}).get("interrupt_response"):
            return []
        return self._stop(response, "turn_detected")

    def on_turn(self) -> list[Event]:
        """Start a response to the turn, unless one is active."""
        if self._active_response() or not (self.turn_detection or {}).get("create_response"):
            return []
        return self._respond({})

    def _take_audio(self, content: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bytes]:
        """Split an item's content into its parts without audio, and the audio of all as PCM, ``MAX_MS`` at most.

        It comes in the encoding that the session has for the type of its part.
        """
        parts, audio = [], []
        for index, part in enumerate(content):
            given = part.get("audio")
            if given is None:
                parts.append(part)
                continue
            encoded = decode_audio(given, param=f"item.content[{index}].audio")
            audio.append(pcm.decode(encoded, self._encodings()[part["type"]]))
            parts.append(
                {"transcript": None, **{name: value for name, value in part.items() if name != "audio"}}
            )
        return parts, b"".join(audio)[: MAX_MS * pcm.BYTES_PER_MS]

    def _encodings(self) -> dict[str, str]:
        """Return the encodings of audio, by the type of the part that has it."""
        audio = self.session["audio"]
        return {
            "input_audio": audio["input"]["format"]["type"],
            "output_audio": audio["output"]["format"]["type"],
        }

    def _active_response(self) -> Response | None:
        """Return the active response of the conversation; out-of-band responses run beside it."""
        running = (r for r in self._responses.values() if r.active and r.options.conversation_id)
        return next(running, None)

    def _respond(self, params: Config) -> list[Event]:
        request = ResponseRequest(self.session, params, self.items, self._id)
        active = self._active_response()
        if active and not request.out_of_band:
            message = (
                f"Conversation already has an active response in progress: {active.id}. "
                "Wait until the response is finished before creating a new one."
            )
            raise ApiError(message, code="conversation_already_has_active_response")
        reply = replies.reply_to(request.question())
        response = Response(reply, request.options(real_time=self.real_time), self.events, self.new_id)
        self._responses = {known.id: known for known in self._responses.values() if known.active}
        self._responses[response.id] = response
        self.scheduler.stop(_IDLE)
        self.scheduler.start(response.id, self._running(response))
        previous = None
        if not request.out_of_band:
            previous = self.items.add(response.item, audio=response.audio)
            self._has_spoken |= response.options.modality == "audio"
        return response.begin(previous)

    def _running(self, response: Response) -> TimedEvents:
        yield from response.timed_events()
        ended = (
            response.end("incomplete", "max_output_tokens")
            if response.truncated
            else response.end("completed")
        )
        self._await_idle(response)
        yield ended, _RATE_LIMITS_PAUSE
        yield [self.events("rate_limits.updated", rate_limits=_RATE_LIMITS)], 0.0

    def _stop(self, response: Response, reason: str) -> list[Event]:
        self.scheduler.start(response.id, self._rate_limit_events(), delay=_RATE_LIMITS_PAUSE)
        return response.end("cancelled", reason)

    def _rate_limit_events(self) -> TimedEvents:
        yield [self.events("rate_limits.updated", rate_limits=_RATE_LIMITS)], 0.0

    def _await_idle(self, response: Response) -> None:
        """Start the idle timeout, if the session has one: it begins when the answer has been played."""
        idle_ms = (self.turn_detection or {}).get("idle_timeout_ms")
        if idle_ms:
            playing_ms = 0 if self.real_time else pcm.milliseconds(response.audio)
            self.scheduler.start(_IDLE, self._idle_events(), delay=(playing_ms + idle_ms) / 1000)

    def _idle_events(self) -> TimedEvents:
        item_id = self.new_id("item")
        start_ms, end_ms = self.buffer.pending_range()
        kind = "input_audio_buffer.timeout_triggered"
        event = self.events(kind, audio_start_ms=start_ms, audio_end_ms=end_ms, item_id=item_id)
        self.buffer.clear()
        yield [event, *self.take_message(item_id, b""), *self._respond({})], 0.0

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Listening.handlers,
        "conversation.item.create": create_item,
        "conversation.item.retrieve": retrieve_item,
        "conversation.item.truncate": truncate_item,
        "conversation.item.delete": delete_item,
        "output_audio_buffer.clear": clear_output,
        "response.create": create_response,
        "response.cancel": cancel_response,
    }
