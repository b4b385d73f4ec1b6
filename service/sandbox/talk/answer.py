"""One response being given: an item that grows word by word, and the events that tell of it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

from service.sandbox.ids import NewId
from service.sandbox.sound import pcm, speech
from service.sandbox.talk import tokens
from service.sandbox.talk.agenda import Steps
from service.sandbox.talk.items import Item
from service.sandbox.talk.responder import Call, Words
from service.sandbox.talk.server_events import Event, Events

_TEXT_PAUSE = 0.008
_AUDIO_PAUSE = 0.03
"""Seconds between words: a word takes some 400 ms to say, so audio comes at ten times its speed."""

_ARGUMENTS_PIECE = 8


@dataclass(frozen=True, slots=True)
class Manner:
    """How a response is to be given.

    ``modality`` is ``text`` or ``audio``, ``audio_format`` the vendor's object for it, ``max_tokens`` a number or
    ``inf``. A response outside the conversation has no ``conversation_id``. ``text_in`` and ``audio_in`` are the
    tokens that the context costs.
    """

    modality: str
    voice: str
    audio_format: dict[str, Any]
    speed: float
    max_tokens: int | str
    metadata: dict[str, str] | None
    conversation_id: str | None
    text_in: int
    audio_in: int


class Answer:
    """One response.

    ``plan`` is what is going to be said or called, and ``manner`` how.
    """

    def __init__(self, plan: Words | Call, manner: Manner, events: Events, new_id: NewId) -> None:
        self.id = new_id("resp")
        self.manner = manner
        self.active = True
        self.audio = bytearray()
        self._previous_item_id: str | None = None
        self._plan = plan
        self._events = events
        self._budget = tokens.Budget(manner.max_tokens)
        self.item: Item = {"id": new_id("item"), "object": "realtime.item", "status": "in_progress"}
        if isinstance(plan, Call):
            self.item |= {
                "type": "function_call",
                "name": plan.name,
                "call_id": new_id("call"),
                "arguments": "",
            }
        else:
            self.item |= {"type": "message", "role": "assistant", "content": []}

    @property
    def cut(self) -> bool:
        """Whether the tokens ran out before the words did."""
        return self._budget.exhausted

    def begin(self, previous_item_id: str | None) -> list[Event]:
        """Announce the response and the item that will grow, behind the one before it."""
        started = [
            self._events("response.created", response=self._response("in_progress")),
            self._about_response("response.output_item.added", item=self._snapshot()),
        ]
        if self.manner.conversation_id:
            kind = "conversation.item.added"
            started.append(self._events(kind, item=self._snapshot(), previous_item_id=previous_item_id))
        self._previous_item_id = previous_item_id
        if isinstance(self._plan, Words):
            is_text = self.manner.modality == "text"
            self.item["content"].append(
                {"type": "output_text", "text": ""} if is_text else {"type": "output_audio", "transcript": ""}
            )
            started.append(self._about_part("response.content_part.added", part=self._part()))
        return started

    def steps(self) -> Steps:
        """Say it, delta by delta; the stream ends early, and ``cut`` is set, where the tokens run out."""
        if isinstance(self._plan, Call):
            return self._call_steps(self._plan)
        if self.manner.modality == "text":
            return self._text_steps(self._plan.text)
        return self._audio_steps(self._plan.text)

    def end(self, status: str, reason: str | None = None) -> list[Event]:
        """Close the item and the response; ``reason`` says why it is not complete."""
        self.active = False
        self.item["status"] = "completed" if status == "completed" else "incomplete"
        details = None if reason is None else {"type": status, "reason": reason}
        ended = self._finished_item()
        if self.manner.conversation_id:
            kind = "conversation.item.done"
            ended.append(self._events(kind, item=self._snapshot(), previous_item_id=self._previous_item_id))
        ended.append(self._about_response("response.output_item.done", item=self._snapshot()))
        ended.append(self._events("response.done", response=self._response(status, details)))
        return ended

    def _call_steps(self, plan: Call) -> Steps:
        for start in range(0, len(plan.arguments), _ARGUMENTS_PIECE):
            piece = plan.arguments[start : start + _ARGUMENTS_PIECE]
            if not self._budget.spend(piece):
                return
            self.item["arguments"] += piece
            kind = "response.function_call_arguments.delta"
            yield [self._about_item(kind, call_id=self.item["call_id"], delta=piece)], _TEXT_PAUSE

    def _text_steps(self, text: str) -> Steps:
        part = self.item["content"][0]
        for piece in _pieces(text):
            if not self._budget.spend(piece):
                return
            part["text"] += piece
            yield [self._about_part("response.output_text.delta", delta=piece)], _TEXT_PAUSE

    def _audio_steps(self, text: str) -> Steps:
        part = self.item["content"][0]
        pieces = _pieces(text)
        spoken = speech.say([piece.strip() for piece in pieces], self.manner.voice, speed=self.manner.speed)
        for piece, audio in zip(pieces, spoken, strict=True):
            if not self._budget.spend(piece, audio_ms=pcm.milliseconds(audio)):
                return
            part["transcript"] += piece
            self.audio += audio
            encoded = base64.b64encode(pcm.encode(audio, self.manner.audio_format["type"])).decode()
            yield (
                [
                    self._about_part("response.output_audio_transcript.delta", delta=piece),
                    self._about_part("response.output_audio.delta", delta=encoded),
                ],
                _AUDIO_PAUSE,
            )

    def _finished_item(self) -> list[Event]:
        """Tell the whole of what the deltas told in parts."""
        if isinstance(self._plan, Call):
            told = {name: self.item[name] for name in ("call_id", "name", "arguments")}
            return [self._about_item("response.function_call_arguments.done", **told)]
        part = self.item["content"][0]
        if part["type"] == "output_text":
            whole = [self._about_part("response.output_text.done", text=part["text"])]
        else:
            kind = "response.output_audio_transcript.done"
            whole = [
                self._about_part("response.output_audio.done"),
                self._about_part(kind, transcript=part["transcript"]),
            ]
        return [*whole, self._about_part("response.content_part.done", part=self._part())]

    def _part(self) -> dict[str, Any]:
        """The content part as events spell it, whose types have no ``output_``."""
        part = dict(self.item["content"][0])
        return {**part, "type": part["type"].removeprefix("output_")}

    def _snapshot(self) -> Item:
        item = dict(self.item)
        if "content" in item:
            item["content"] = [dict(part) for part in item["content"]]
        return item

    def _response(self, status: str, details: dict[str, str] | None = None) -> dict[str, Any]:
        done = status != "in_progress"
        output = {"format": self.manner.audio_format, "voice": self.manner.voice}
        used = tokens.usage(
            text_in=self.manner.text_in,
            audio_in=self.manner.audio_in,
            text_out=self._budget.text,
            audio_out=self._budget.audio,
        )
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [self._snapshot()] if done else [],
            "conversation_id": self.manner.conversation_id,
            "output_modalities": [self.manner.modality],
            "max_output_tokens": self.manner.max_tokens,
            "audio": {"output": output},
            "usage": used if done else None,
            "metadata": self.manner.metadata,
        }

    def _about_response(self, kind: str, **members: Any) -> Event:
        return self._events(kind, response_id=self.id, output_index=0, **members)

    def _about_item(self, kind: str, **members: Any) -> Event:
        return self._about_response(kind, item_id=self.item["id"], **members)

    def _about_part(self, kind: str, **members: Any) -> Event:
        return self._about_item(kind, content_index=0, **members)


def _pieces(text: str) -> list[str]:
    """Split a text into words, each with the space before it: joined, they are the text again."""
    return re.findall(r"\s*\S+", text)
