"""The items of a conversation in their order, with their audio."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from service.sandbox.errors import ApiError

Item = dict[str, Any]
"""An item as JSON, without its audio."""

ROOT = "root"
"""The vendor's name for the position before the first item."""


def snapshot(item: Item) -> Item:
    """Copy an item as deep as items ever change."""
    if "content" not in item:
        return dict(item)
    return {**item, "content": [dict(part) for part in item["content"]]}


class Items:
    """An ordered collection of items, which go on changing; only ``with_audio`` returns a copy."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self.audio: dict[str, bytes | bytearray] = {}

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def add(self, item: Item, *, after: str | None = None) -> str | None:
        """Insert an item after another one, or at the end; return the id of the item before it.

        ``item`` is kept, not copied, since a response still grows. ``after`` is an item's id, ``root`` for the
        beginning, or None for the end.

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
        return self._items[at - 1]["id"] if at else None

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

    def last_id(self) -> str | None:
        """Return the id of the last item, or None."""
        return self._items[-1]["id"] if self._items else None

    def with_audio(self, item_id: str) -> Item:
        """Return a copy of an item with its audio in base64, for ``conversation.item.retrieve``.

        Raises:
            ApiError: if there is no such item.
        """
        item = deepcopy(self.get(item_id, verb="retrieve"))
        audio = self.audio.get(item_id)
        for part in item.get("content", []):
            if audio and part["type"] in {"input_audio", "output_audio"}:
                part["audio"] = base64.b64encode(audio).decode()
        return item

    def _find(self, item_id: str) -> int | None:
        return next((at for at, item in enumerate(self._items) if item["id"] == item_id), None)
