"""The items of a conversation, in their order, with the audio that belongs to them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from service.sandbox.refusal import Refusal

Item = dict[str, Any]
"""An item as JSON, without its audio."""

ROOT = "root"
"""The vendor's name for the place before the first item."""


class Items:
    """An ordered collection; its items go on changing, and only ``with_audio`` gives out a copy."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self.audio: dict[str, bytes | bytearray] = {}

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def add(self, item: Item, *, after: str | None = None) -> str | None:
        """Put an item behind another, or at the end.

        ``item`` has its id, and is kept, not copied, since an answer grows. ``after`` is an item's id, ``root`` for the
        very beginning, or ``None`` for the end. Returns the id of the item before it.

        Raises:
            Refusal: where ``after`` does not exist, or the item's own id does.
        """
        if self._find(item["id"]) is not None:
            message = f"Error adding item: the item with id '{item['id']}' already exists."
            raise Refusal(message, code="item_create_duplicate_item_id", param="item.id")
        at = len(self._items)
        if after == ROOT:
            at = 0
        elif after is not None:
            place = self._find(after)
            if place is None:
                message = f"Error adding item: the previous item with id '{after}' does not exist."
                raise Refusal(message, code="item_create_invalid_previous_item_id", param="previous_item_id")
            at = place + 1
        self._items.insert(at, item)
        return self._items[at - 1]["id"] if at else None

    def live(self, item_id: str, *, doing: str) -> Item:
        """Find an item, to be changed.

        ``doing`` is the stem of the verb for the refusal: ``delet``, ``retriev`` or ``truncat``.

        Raises:
            Refusal: where there is none.
        """
        at = self._find(item_id)
        if at is None:
            message = f"Error {doing}ing item: the item with id '{item_id}' does not exist."
            raise Refusal(message, code=f"item_{doing}e_invalid_item_id", param="item_id")
        return self._items[at]

    def remove(self, item_id: str) -> None:
        """Take an item out.

        Raises:
            Refusal: where there is none.
        """
        self._items.remove(self.live(item_id, doing="delet"))
        self.audio.pop(item_id, None)

    def last_id(self) -> str | None:
        """The id of the item at the end."""
        return self._items[-1]["id"] if self._items else None

    def with_audio(self, item_id: str) -> Item:
        """Read an item as ``conversation.item.retrieve`` does: its audio in base64 beside its text.

        Raises:
            Refusal: where there is none.
        """
        item = deepcopy(self.live(item_id, doing="retriev"))
        audio = self.audio.get(item_id)
        for part in item.get("content", []):
            if audio and part["type"] in {"input_audio", "output_audio"}:
                part["audio"] = base64.b64encode(audio).decode()
        return item

    def _find(self, item_id: str) -> int | None:
        return next((at for at, item in enumerate(self._items) if item["id"] == item_id), None)
