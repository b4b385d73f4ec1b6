"""One response: an item that grows word by word, and the events that report it."""

from __future__ import annotations

import base64
import re
from typing import Any

from service.sandbox.audio import pcm, speech
from service.sandbox.ids import NewId
from service.sandbox.sessions import tokens
from service.sandbox.sessions.events import Event, EventFactory
from service.sandbox.sessions.items import Item, snapshot
from service.sandbox.sessions.replies import FunctionCall, TextReply
from service.sandbox.sessions.response_request import ResponseOptions
from service.sandbox.sessions.scheduler import TimedEvents

_TEXT_PAUSE = 0.008
_AUDIO_PAUSE = 0.03
"""Seconds between words. A word takes some 400 ms to say, so audio is sent ten times faster than it plays."""

_REAL_TIME_LEAD = 0.6
_REAL_TIME_SPEED = 0.9
"""In real time, words are given this much ahead (seconds) and then this much faster than they play: never too late."""

_ARGUMENTS_CHUNK = 8
"""Characters of a function's arguments in one delta."""


class Response:
    """One response, which gives ``reply`` as ``options`` say."""

    def __init__(
        self,
        reply: TextReply | FunctionCall,
        options: ResponseOptions,
        events: EventFactory,
        new_id: NewId,
    ) -> None:
        self.id = new_id("resp")
        self.options = options
        self.active = True
        self.audio = bytearray()
        self._previous_item_id: str | None = None
        self._reply = reply
        self._events = events
        self._budget = tokens.Budget(options.max_tokens)
        self.item: Item = {"id": new_id("item"), "object": "realtime.item", "status": "in_progress"}
        if isinstance(reply, FunctionCall):
            self.item |= {
                "type": "function_call",
                "name": reply.name,
                "call_id": new_id("call"),
                "arguments": "",
            }
        else:
            self.item |= {"type": "message", "role": "assistant", "content": []}

    @property
    def truncated(self) -> bool:
        """Whether ``max_tokens`` ended the response early."""
        return self._budget.exhausted

    def begin(self, previous_item_id: str | None) -> list[Event]:
        """Return the events that announce the response and its item, which follows another item or none."""
        started = [
            self._events("response.created", response=self._response("in_progress")),
            self._response_event("response.output_item.added", item=snapshot(self.item)),
        ]
        if self.options.conversation_id:
            kind = "conversation.item.added"
            started.append(self._events(kind, item=snapshot(self.item), previous_item_id=previous_item_id))
        self._previous_item_id = previous_item_id
        if isinstance(self._reply, TextReply):
            is_text = self.options.modality == "text"
            self.item["content"].append(
                {"type": "output_text", "text": ""} if is_text else {"type": "output_audio", "transcript": ""}
            )
            started.append(self._part_event("response.content_part.added", part=self._part()))
        return started

    def timed_events(self) -> TimedEvents:
        """Stream the reply as deltas; ends early, with ``truncated`` set, once ``max_tokens`` are spent."""
        if isinstance(self._reply, FunctionCall):
            return self._call_events(self._reply)
        if self.options.modality == "text":
            return self._text_events(self._reply.text)
        return self._audio_events(self._reply.text)

    def end(self, status: str, reason: str | None = None) -> list[Event]:
        """Return the events that end the item and the response; ``reason`` says why it is not complete."""
        self.active = False
        self.item["status"] = "completed" if status == "completed" else "incomplete"
        details = None if reason is None else {"type": status, "reason": reason}
        ended = self._finished_item()
        if self.options.conversation_id:
            kind = "conversation.item.done"
            ended.append(
                self._events(kind, item=snapshot(self.item), previous_item_id=self._previous_item_id)
            )
        ended.append(self._response_event("response.output_item.done", item=snapshot(self.item)))
        ended.append(self._events("response.done", response=self._response(status, details)))
        return ended

    def _call_events(self, reply: FunctionCall) -> TimedEvents:
        for start in range(0, len(reply.arguments), _ARGUMENTS_CHUNK):
            chunk = reply.arguments[start : start + _ARGUMENTS_CHUNK]
            if not self._budget.spend(chunk):
                return
            self.item["arguments"] += chunk
            kind = "response.function_call_arguments.delta"
            yield [self._item_event(kind, call_id=self.item["call_id"], delta=chunk)], _TEXT_PAUSE

    def _text_events(self, text: str) -> TimedEvents:
        part = self.item["content"][0]
        for word in _words(text):
            if not self._budget.spend(word):
                return
            part["text"] += word
            yield [self._part_event("response.output_text.delta", delta=word)], _TEXT_PAUSE

    def _audio_events(self, text: str) -> TimedEvents:
        part = self.item["content"][0]
        words = _words(text)
        spoken = speech.synthesize(
            [word.strip() for word in words], self.options.voice, speed=self.options.speed
        )
        ahead = _REAL_TIME_LEAD
        for word, audio in zip(words, spoken, strict=True):
            if not self._budget.spend(word, audio_ms=pcm.milliseconds(audio)):
                return
            ahead -= pcm.milliseconds(audio) / 1000
            part["transcript"] += word
            self.audio += audio
            encoded = base64.b64encode(pcm.encode(audio, self.options.audio_format["type"])).decode()
            yield (
                [
                    self._part_event("response.output_audio_transcript.delta", delta=word),
                    self._part_event("response.output_audio.delta", delta=encoded),
                ],
                max(0.0, -ahead) * _REAL_TIME_SPEED if self.options.real_time else _AUDIO_PAUSE,
            )
            ahead = max(ahead, 0.0)

    def _finished_item(self) -> list[Event]:
        """Return the events that repeat the whole of the deltas."""
        if isinstance(self._reply, FunctionCall):
            members = {name: self.item[name] for name in ("call_id", "name", "arguments")}
            return [self._item_event("response.function_call_arguments.done", **members)]
        part = self.item["content"][0]
        if part["type"] == "output_text":
            events = [self._part_event("response.output_text.done", text=part["text"])]
        else:
            kind = "response.output_audio_transcript.done"
            events = [
                self._part_event("response.output_audio.done"),
                self._part_event(kind, transcript=part["transcript"]),
            ]
        return [*events, self._part_event("response.content_part.done", part=self._part())]

    def _part(self) -> dict[str, Any]:
        """Return the content part for events, whose types have no ``output_``."""
        part = dict(self.item["content"][0])
        return {**part, "type": part["type"].removeprefix("output_")}

    def _response(self, status: str, details: dict[str, str] | None = None) -> dict[str, Any]:
        done = status != "in_progress"
        output = {"format": self.options.audio_format, "voice": self.options.voice}
        used = tokens.usage(
            text_in=self.options.text_in,
            audio_in=self.options.audio_in,
            text_out=self._budget.text,
            audio_out=self._budget.audio,
        )
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [snapshot(self.item)] if done else [],
            "conversation_id": self.options.conversation_id,
            "output_modalities": [self.options.modality],
            "max_output_tokens": self.options.max_tokens,
            "audio": {"output": output},
            "usage": used if done else None,
            "metadata": self.options.metadata,
        }

    def _response_event(self, kind: str, **members: Any) -> Event:
        return self._events(kind, response_id=self.id, output_index=0, **members)

    def _item_event(self, kind: str, **members: Any) -> Event:
        return self._response_event(kind, item_id=self.item["id"], **members)

    def _part_event(self, kind: str, **members: Any) -> Event:
        return self._item_event(kind, content_index=0, **members)


def _words(text: str) -> list[str]:
    """Split a text into words, each with the space before it, so that joining them gives the text."""
    return re.findall(r"\s*\S+", text)
