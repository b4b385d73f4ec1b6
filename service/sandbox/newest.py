"""Bounded memory: anybody may have the sandbox keep something, so the newest is kept and the oldest forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

MAX_BYTES = 32 * 1024 * 1024
"""How much the entries of one kind may have together."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class Newest(Generic[Key, Value]):
    """Entries by key, in the order in which they were added, up to a number and to a size. Callers lock.

    Those whose key ``must_stay`` are not forgotten, whatever the bounds.
    """

    def __init__(
        self, most: int, max_bytes: int = MAX_BYTES, *, must_stay: Callable[[Key], bool] = lambda _: False
    ) -> None:
        self._most = most
        self._max_bytes = max_bytes
        self._must_stay = must_stay
        self._entries: dict[Key, tuple[Value, int]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Value | None:
        """Return an entry, or None if there is none, or none any more."""
        return self._entries.get(key, (None, 0))[0]

    def values(self) -> list[Value]:
        """Return all entries, the oldest first."""
        return [value for value, _ in self._entries.values()]

    def put(self, key: Key, value: Value, size: int) -> list[Key]:
        """Add an entry, or replace one in its place, and return the keys of those that are forgotten for it."""
        self._bytes += size - self._entries.get(key, (None, 0))[1]
        self._entries[key] = value, size
        forgotten: list[Key] = []
        while len(self._entries) > self._most or self._bytes > self._max_bytes:
            oldest = next((each for each in self._entries if not self._must_stay(each)), None)
            if oldest is None:
                break
            self.forget(oldest)
            forgotten.append(oldest)
        return forgotten

    def forget(self, key: Key) -> None:
        """Forget an entry, if it is there."""
        self._bytes -= self._entries.pop(key, (None, 0))[1]

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()
        self._bytes = 0


def size_of(message: str | bytes | None) -> int:
    """Return how many bytes a message takes in memory at most."""
    if isinstance(message, str) and not message.isascii():
        return 4 * len(message)
    return len(message or b"")
