"""The items of a conversation in their order, with their audio."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from service.sandbox.audio import pcm
from service.sandbox.errors import ApiError
from service.sandbox.newest import MAX_BYTES

Item = dict[str, Any]
"""An item as JSON, without its audio."""

ROOT = "root"
"""The vendor's name for the position before the first item."""


MAX_ITEMS = 2_000
"""How many items a conversation keeps, as far as their JSON and audio are within ``MAX_BYTES``.

A client may add some for an hour; the oldest go first, as they do where the vendor's context is full.
"""


def snapshot(item: Item) -> Item:
    """Copy an item as deep as items ever change."""
    if "content" not in item:
        return dict(item)
    return {**item, "content": [dict(part) for part in item["content"]]}


_REFERENCES = {
    "function_call_output": ("call_id", "function_call", "call_id", "Tool call ID", "invalid_tool_call_id"),
    "mcp_approval_response": (
        "approval_request_id",
        "mcp_approval_request",
        "id",
        "MCP approval request",
        "invalid_mcp_approval_request_id",
    ),
}
"""For items that answer another one: the member that names it, its type and member, and the vendor's error."""


def check_reference(item: Item, context: Iterable[Item]) -> None:
    """Check that the item which ``item`` answers is in the context.

    Raises:
        ApiError: if it is not. The vendor's code for a function call was observed; that for an approval is a guess.
    """
    if item["type"] not in _REFERENCES:
        return
    member, answered_type, id_member, label, code = _REFERENCES[item["type"]]
    wanted = item[member]
    if not any(known["type"] == answered_type and known.get(id_member) == wanted for known in context):
        raise ApiError(f"{label} '{wanted}' not found in conversation.", code=code)


class Items:
    """An ordered collection of items, which go on changing; only ``with_audio`` returns a copy."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._sizes: dict[str, int] = {}
        self.audio: dict[str, bytes | bytearray] = {}

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def add(self, item: Item, *, after: str | None = None, audio: bytes | bytearray = b"") -> str | None:
        """Insert an item after another one, or at the end; return the id of the item before it.

        ``item`` and ``audio``, which is PCM, are kept, not copied, since a response still grows. ``after`` is an
        item's id, ``root`` for the beginning, or None for the end.

        Raises:
            ApiError: if ``after`` does not exist, or the item's own id does already.
        """
        if self._find(item["id"]) is not None:
            message = f"Error adding item: the item with id '{item['id']}' already exists."
            raise ApiError(message, code="item_create_duplicate_item_id", param="item.id")
        at = len(self._items)
        if after == ROOT:
            at = 0
        elif after is not None:
            place = self._find(after)
            if place is None:
                message = f"Error adding item: the previous item with id '{after}' does not exist."
                raise ApiError(message, code="item_create_invalid_previous_item_id", param="previous_item_id")
            at = place + 1
        self._items.insert(at, item)
        self._sizes[item["id"]] = len(json.dumps(item))
        self.audio[item["id"]] = audio
        previous = self._items[at - 1]["id"] if at else None
        self._forget_oldest(but=item)
        return previous

    def _forget_oldest(self, *, but: Item) -> None:
        size = sum(self._sizes.values()) + sum(map(len, self.audio.values()))
        while len(self._items) > 1 and (len(self._items) > MAX_ITEMS or size > MAX_BYTES):
            oldest = self._items.pop(1 if self._items[0] is but else 0)["id"]
            size -= self._sizes.pop(oldest, 0) + len(self.audio.pop(oldest, b""))

    def get(self, item_id: str, *, verb: str) -> Item:
        """Return an item; changes to it are kept.

        ``verb`` is what the client asked for, in the error: ``delete``, ``retrieve`` or ``truncate``.

        Raises:
            ApiError: if there is no such item.
        """
        index = self._find(item_id)
        if index is None:
            message = f"Error {verb.removesuffix('e')}ing item: the item with id '{item_id}' does not exist."
            raise ApiError(message, code=f"item_{verb}_invalid_item_id", param="item_id")
        return self._items[index]

    def remove(self, item_id: str) -> None:
        """Delete an item.

        Raises:
            ApiError: if there is no such item.
        """
        self._items.remove(self.get(item_id, verb="delete"))
        self.audio.pop(item_id, None)
        self._sizes.pop(item_id, None)

    def last_id(self) -> str | None:
        """Return the id of the last item, or None."""
        return self._items[-1]["id"] if self._items else None

    def with_audio(self, item_id: str, encodings: Mapping[str, str]) -> Item:
        """Return a copy of an item with its audio in base64, for ``conversation.item.retrieve``.

        ``encodings`` are those of the session's audio, by the type of the part that has it. The first of several
        such parts has the audio of all.

        Raises:
            ApiError: if there is no such item.
        """
        item = deepcopy(self.get(item_id, verb="retrieve"))
        part = next((part for part in item.get("content", []) if part["type"] in encodings), None)
        if part and (audio := self.audio.get(item_id)):
            part["audio"] = base64.b64encode(pcm.encode(bytes(audio), encodings[part["type"]])).decode()
        return item

    def _find(self, item_id: str) -> int | None:
        return next((at for at, item in enumerate(self._items) if item["id"] == item_id), None)
