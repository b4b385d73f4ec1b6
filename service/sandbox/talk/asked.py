"""What a ``response.create`` asks for, once its own members and the session's are put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.sandbox.refusal import Refusal
from service.sandbox.sound import pcm
from service.sandbox.talk import responder, sessions, tokens
from service.sandbox.talk.answer import Manner
from service.sandbox.talk.items import Item, Items
from service.sandbox.talk.listening import transcript_of
from service.sandbox.talk.sessions import Config


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a response.

    ``params`` is what this response does differently from its ``session``; ``items`` is the conversation, whose
    ``conversation_id`` a response outside of it does not carry.
    """

    session: Config
    params: Config
    items: Items
    conversation_id: str

    def question(self) -> responder.Question:
        """What there is to answer."""
        own, chosen = self.session["instructions"], self._chosen
        return responder.Question(
            context=[self._with_transcript(item) for item in self._context()],
            asked=self.params.get("instructions", ""),
            instructions="" if own == sessions.DEFAULT_INSTRUCTIONS else own,
            tools=chosen["tools"],
            tool_choice=chosen["tool_choice"],
        )

    def manner(self) -> Manner:
        """How the answer is to be given."""
        chosen, context = self._chosen, self._context()
        output = sessions.update(self.session, {"audio": self.params.get("audio")})["audio"]["output"]
        said = " ".join(map(responder.text_of, context))
        heard_ms = sum(pcm.milliseconds(self.items.audio.get(item.get("id", ""), b"")) for item in context)
        return Manner(
            modality=chosen["output_modalities"][0],
            voice=output["voice"],
            audio_format=output["format"],
            speed=output["speed"],
            max_tokens=chosen["max_output_tokens"],
            metadata=self.params.get("metadata"),
            conversation_id=None if self.is_apart else self.conversation_id,
            text_in=tokens.text_tokens(chosen["instructions"] + said),
            audio_in=tokens.input_audio_tokens(heard_ms),
        )

    @property
    def is_apart(self) -> bool:
        """Whether the response stays outside of the conversation."""
        return self.params.get("conversation") == "none"

    @property
    def _chosen(self) -> dict[str, Any]:
        return self.session | self.params

    def _context(self) -> list[Item]:
        """The items that the response sees: those it names, or the whole conversation."""
        given = self.params.get("input")
        if given is None:
            return list(self.items)
        known = {item["id"]: item for item in self.items}
        return [_resolved(item, known) for item in given]

    def _with_transcript(self, item: Item) -> Item:
        """Let audio that was not transcribed stand there as what it would have been."""
        parts = item.get("content", [])
        if not any(part["type"] == "input_audio" for part in parts):
            return item
        made_up = transcript_of(self.items.audio.get(item.get("id", ""), b""))
        return {
            **item,
            "content": [{**part, "transcript": part.get("transcript") or made_up} for part in parts],
        }


def _resolved(item: Item, known: dict[str, Item]) -> Item:
    if item["type"] != "item_reference":
        return item
    if item["id"] not in known:
        message = f"Error creating response: the item with id '{item['id']}' does not exist."
        raise Refusal(message, code="invalid_value", param="response.input")
    return known[item["id"]]
