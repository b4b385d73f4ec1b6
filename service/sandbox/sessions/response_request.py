"""A request for a response: the ``response.create`` event put together with its session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.sandbox.audio import pcm
from service.sandbox.errors import invalid_value
from service.sandbox.sessions import configuration, replies, tokens
from service.sandbox.sessions.configuration import Config
from service.sandbox.sessions.items import Item, Items, check_reference


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """How a response is given.

    ``modality`` is ``text`` or ``audio``, ``audio_format`` the vendor's object, ``max_tokens`` a number or ``inf``.
    ``conversation_id`` is None for a response outside the conversation. ``text_in`` and ``audio_in`` are the tokens
    of the context. With ``real_time`` audio is given about as fast as it plays.
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
    real_time: bool


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """A request for a response; ``params`` are its own settings, which override those of the session."""

    session: Config
    params: Config
    items: Items
    conversation_id: str

    @property
    def out_of_band(self) -> bool:
        """Whether the response stays outside the conversation."""
        return self.params.get("conversation") == "none"

    def question(self) -> replies.Question:
        """Return what the reply is based on."""
        instructions, settings = self.session["instructions"], self._settings()
        return replies.Question(
            context=[self._with_transcript(item) for item in self._context()],
            asked=self.params.get("instructions", ""),
            instructions="" if instructions == configuration.DEFAULT_INSTRUCTIONS else instructions,
            tools=settings["tools"],
            tool_choice=settings["tool_choice"],
        )

    def options(self, *, real_time: bool) -> ResponseOptions:
        """Return how the response is given."""
        settings, context = self._settings(), self._context()
        output = configuration.update(self.session, {"audio": self._audio()})["audio"]["output"]
        text = " ".join(map(replies.text_of, context))
        audio_ms = sum(pcm.milliseconds(self.items.audio.get(item.get("id", ""), b"")) for item in context)
        return ResponseOptions(
            modality=settings["output_modalities"][0],
            voice=output["voice"],
            audio_format=output["format"],
            speed=output["speed"],
            max_tokens=settings["max_output_tokens"],
            metadata=self.params.get("metadata"),
            conversation_id=None if self.out_of_band else self.conversation_id,
            text_in=tokens.text_tokens(settings["instructions"] + text),
            audio_in=tokens.input_audio_tokens(audio_ms),
            real_time=real_time,
        )

    def _settings(self) -> Config:
        """Return the session's settings, and in their place those that are given; null is none."""
        return {**self.session, **{name: value for name, value in self.params.items() if value is not None}}

    def _audio(self) -> Config | None:
        """Return the audio settings that are given."""
        audio = self.params.get("audio")
        if not audio or not audio.get("output"):
            return None
        return {"output": {name: value for name, value in audio["output"].items() if value is not None}}

    def _context(self) -> list[Item]:
        """Return the items that the response sees: those in ``input``, or the whole conversation."""
        chosen = self.params.get("input")
        if chosen is None:
            return list(self.items)
        known = {item["id"]: item for item in self.items}
        context: list[Item] = []
        for item in chosen:
            is_reference = item["type"] == "item_reference"
            if is_reference and item["id"] not in known:
                message = f"Error creating response: the item with id '{item['id']}' does not exist."
                raise invalid_value(message, "response.input")
            check_reference(item, [*self.items, *context])
            context.append(known[item["id"]] if is_reference else item)
        return context

    def _with_transcript(self, item: Item) -> Item:
        """Fill in the canned transcript of audio that was not transcribed."""
        parts = item.get("content", [])
        if not any(part["type"] == "input_audio" for part in parts):
            return item
        canned = replies.transcript_of(self.items.audio.get(item.get("id", ""), b""))
        return {
            **item,
            "content": [{**part, "transcript": part.get("transcript") or canned} for part in parts],
        }
