"""Conversations: items, responses to them, and who may interrupt whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from service.sandbox.ids import NewId
from service.sandbox.refusal import Refusal
from service.sandbox.sound import pcm
from service.sandbox.talk import responder
from service.sandbox.talk.agenda import Clock, Steps
from service.sandbox.talk.answer import Answer
from service.sandbox.talk.asked import Asked
from service.sandbox.talk.channel import Handler, decode_audio
from service.sandbox.talk.listening import Listening
from service.sandbox.talk.server_events import Event
from service.sandbox.talk.sessions import Config

_RATE_LIMITS_PAUSE = 0.04
_RATE_LIMITS = [
    {"name": "requests", "limit": 10000, "remaining": 9999, "reset_seconds": 0.006},
    {"name": "tokens", "limit": 800000, "remaining": 795000, "reset_seconds": 0.375},
]
_IDLE = "idle timeout"


class Conversation(Listening):
    """A realtime session."""

    def __init__(self, session: Config, *, new_id: NewId, clock: Clock) -> None:
        super().__init__(session, new_id=new_id, clock=clock)
        self._id = new_id("conv")
        self._answers: dict[str, Answer] = {}
        self._has_spoken = False

    def check_update(self, change: Config) -> None:
        """Refuse another model, and another voice once there was one to hear."""
        if change.get("model", self.session["model"]) != self.session["model"]:
            raise Refusal(
                "The model of a session cannot be changed.", code="invalid_value", param="session.model"
            )
        output = (change.get("audio") or {}).get("output") or {}
        voice = self.session["audio"]["output"]["voice"]
        if self._has_spoken and output.get("voice", voice) != voice:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise Refusal(message, code="cannot_update_voice", param="session.audio.output.voice")

    def create_item(self, event: Event) -> list[Event]:
        """Put an item of the client's into the conversation."""
        item = {"id": self.new_id("item"), "object": "realtime.item", "status": "completed", **event["item"]}
        if "content" in item:
            item["content"] = [self._taken(part, item["id"]) for part in item["content"]]
        if item["type"] == "function_call":
            item.setdefault("call_id", self.new_id("call"))
        return self.add_item(item, after=event.get("previous_item_id"))

    def retrieve_item(self, event: Event) -> list[Event]:
        """Read an item back."""
        return [self.events("conversation.item.retrieved", item=self.items.with_audio(event["item_id"]))]

    def delete_item(self, event: Event) -> list[Event]:
        """Take an item out."""
        self.items.remove(event["item_id"])
        return [self.events("conversation.item.deleted", item_id=event["item_id"])]

    def truncate_item(self, event: Event) -> list[Event]:
        """Forget what the user did not hear of an answer, words and audio."""
        item_id, end_ms = event["item_id"], event["audio_end_ms"]
        item = self.items.live(item_id, doing="truncat")
        parts = item.get("content", [])
        part = parts[event["content_index"]] if event["content_index"] < len(parts) else {}
        if part.get("type") != "output_audio":
            message = "Only model output audio messages can be truncated."
            raise Refusal(message, code="invalid_value", param="item_id")
        audio = self.items.audio.get(item_id, b"")
        spoken_ms = pcm.milliseconds(audio)
        if end_ms > spoken_ms:
            message = f"Audio content of {spoken_ms}ms is already shorter than {end_ms}ms"
            raise Refusal(message, code="invalid_value", param="audio_end_ms")
        words = part["transcript"].split(" ")
        part["transcript"] = " ".join(words[: len(words) * end_ms // max(1, spoken_ms)])
        self.items.audio[item_id] = audio[: end_ms * pcm.BYTES_PER_MS]
        told = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
        return [self.events("conversation.item.truncated", **told)]

    def clear_output(self, _event: Event) -> list[Event]:
        """Refuse: over a WebSocket the client itself plays the audio."""
        message = "The event 'output_audio_buffer.clear' is only supported over WebRTC and SIP."
        raise Refusal(message, code="invalid_value", param="type")

    def create_response(self, event: Event) -> list[Event]:
        """Answer, because the client says so."""
        return self._respond(event.get("response") or {})

    def cancel_response(self, event: Event) -> list[Event]:
        """Stop an answer: the one that is named, or the conversation's."""
        wanted = event.get("response_id")
        answer = self._answers.get(wanted) if wanted else self._talking()
        if answer is None or not answer.active:
            raise Refusal("Cancellation failed: no active response found", code="response_cancel_not_active")
        return self._stop(answer, "client_cancelled")

    def on_speech(self) -> list[Event]:
        """Let the user interrupt."""
        self.agenda.stop(_IDLE)
        answer = self._talking()
        if answer is None or not (self.turn_detection or {}).get("interrupt_response"):
            return []
        return self._stop(answer, "turn_detected")

    def on_turn(self) -> list[Event]:
        """Answer a turn by oneself, unless something is still being said."""
        if self._talking() or not (self.turn_detection or {}).get("create_response"):
            return []
        return self._respond({})

    def _taken(self, part: dict[str, Any], item_id: str) -> dict[str, Any]:
        """Keep a content part's audio aside: events do not repeat it."""
        audio = part.get("audio")
        if audio is None:
            return part
        self.items.audio[item_id] = decode_audio(audio, param="item.content[0].audio")
        return {"transcript": None, **{name: value for name, value in part.items() if name != "audio"}}

    def _talking(self) -> Answer | None:
        """The conversation's own response in progress; those outside of it run beside."""
        running = (a for a in self._answers.values() if a.active and a.manner.conversation_id)
        return next(running, None)

    def _respond(self, params: Config) -> list[Event]:
        apart = params.get("conversation") == "none"
        talking = self._talking()
        if talking and not apart:
            message = (
                f"Conversation already has an active response in progress: {talking.id}. "
                "Wait until the response is finished before creating a new one."
            )
            raise Refusal(message, code="conversation_already_has_active_response")
        asked = Asked(self.session, params, self.items, self._id)
        answer = Answer(responder.answer(asked.question()), asked.manner(), self.events, self.new_id)
        self._answers = {known.id: known for known in self._answers.values() if known.active} | {
            answer.id: answer
        }
        self.agenda.stop(_IDLE)
        self.agenda.start(answer.id, self._running(answer))
        previous = None
        if not apart:
            previous = self.items.add(answer.item)
            self.items.audio[answer.item["id"]] = answer.audio
            self._has_spoken |= answer.manner.modality == "audio"
        return answer.begin(previous)

    def _running(self, answer: Answer) -> Steps:
        yield from answer.steps()
        ended = answer.end("incomplete", "max_output_tokens") if answer.cut else answer.end("completed")
        self._await_idle()
        yield ended, _RATE_LIMITS_PAUSE
        yield [self.events("rate_limits.updated", rate_limits=_RATE_LIMITS)], 0.0

    def _stop(self, answer: Answer, reason: str) -> list[Event]:
        self.agenda.start(answer.id, self._told_rate_limits(), delay=_RATE_LIMITS_PAUSE)
        return answer.end("cancelled", reason)

    def _told_rate_limits(self) -> Steps:
        yield [self.events("rate_limits.updated", rate_limits=_RATE_LIMITS)], 0.0

    def _await_idle(self) -> None:
        """Prompt a user who stays silent, where the session asks for that."""
        idle_ms = (self.turn_detection or {}).get("idle_timeout_ms")
        if idle_ms:
            self.agenda.start(_IDLE, self._idled(), delay=idle_ms / 1000)

    def _idled(self) -> Steps:
        item_id = self.new_id("item")
        start_ms, end_ms = self.buffer.waited()
        kind = "input_audio_buffer.timeout_triggered"
        told = self.events(kind, audio_start_ms=start_ms, audio_end_ms=end_ms, item_id=item_id)
        self.buffer.clear()
        yield [told, *self.take_message(item_id, b""), *self._respond({})], 0.0

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
