"""The sidebands of a call: whom its events are told, and what those hear again who come late."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable

from service.sandbox.newest import MAX_BYTES, size_of
from service.sandbox.webrtc.playout import FRAME_MS

Listener = Callable[[str | None], None]
"""Takes an event in JSON, or None once the call has ended; must not wait."""

_MAX_LISTENERS = 20
_REPLAY_SECONDS = 3.0
"""How far back a sideband is told what it has missed, within ``MAX_BYTES``."""
_REFLECTED_FRAMES = 5


class Listeners:
    """All sidebands of one call; with ``replays`` they are greeted, and told the last seconds again."""

    def __init__(self, *, replays: bool) -> None:
        self._replays = replays
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._greeting: str | None = None
        self._recent: deque[tuple[float, str]] = deque()
        self._recent_bytes = 0
        self._closed = False

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._listeners)

    @property
    def at_capacity(self) -> bool:
        """Whether no more may come."""
        return len(self._listeners) >= _MAX_LISTENERS

    def add(self, listener: Listener) -> bool:
        """Add a sideband; return False where the call has ended, or has too many."""
        with self._lock:
            if self._closed or self.at_capacity:
                return False
            if self._replays:
                since = time.monotonic() - _REPLAY_SECONDS
                for message in [self._greeting, *(text for at, text in self._recent if at >= since)]:
                    if message is not None:
                        listener(message)
            self._listeners.append(listener)
        return True

    def remove(self, listener: Listener) -> None:
        """Remove a sideband, which ends nothing."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def greet(self, message: str) -> None:
        """Tell an event to everybody, and later to everybody who comes."""
        with self._lock:
            self._greeting = message if self._replays else None
            listeners = tuple(self._listeners)
        if self._replays:
            for listener in listeners:
                listener(message)

    def tell(self, message: str, *, again: bool = True) -> None:
        """Tell an event; with ``again`` also those who come within the next seconds."""
        now = time.monotonic()
        with self._lock:
            if again and self._replays:
                self._recent.append((now, message))
                self._recent_bytes += size_of(message)
            while self._recent and (
                self._recent[0][0] < now - _REPLAY_SECONDS or self._recent_bytes > MAX_BYTES
            ):
                self._recent_bytes -= size_of(self._recent.popleft()[1])
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(message)

    def close(self) -> None:
        """Tell everybody that the call has ended."""
        with self._lock:
            listeners, self._listeners, self._closed = self._listeners, [], True
            self._recent.clear()
            self._recent_bytes = 0
        for listener in listeners:
            listener(None)


class Reflection:
    """The sound of both directions, which sidebands of GPT-Live hear: PCM of 16 bits, 24 kHz, mono, in base64.

    It costs nothing while there is no sideband, or where it is not ``wanted``.
    """

    def __init__(self, sidebands: Listeners, *, wanted: bool) -> None:
        self._sidebands = sidebands
        self._wanted = wanted
        self._began = time.monotonic()
        self._said: list[bytes] = []

    def heard(self, pcm: bytes) -> None:
        """Reflect what the client said, before it is muted."""
        if self._wanted and self._sidebands:
            self._tell({"type": "session.input_audio.append", "audio": base64.b64encode(pcm).decode()})

    def said(self, pcm: bytes) -> None:
        """Reflect 20 ms of the voice as they are sent, in pieces of a tenth of a second."""
        if not (self._wanted and self._sidebands):
            self._said.clear()
            return
        self._said.append(pcm)
        if len(self._said) < _REFLECTED_FRAMES:
            return
        end_ms = round((time.monotonic() - self._began) * 1000)
        start_ms = max(0, end_ms - _REFLECTED_FRAMES * FRAME_MS)
        delta = base64.b64encode(b"".join(self._said)).decode()
        self._said.clear()
        kind = "session.output_audio.delta"
        self._tell({"type": kind, "delta": delta, "start_ms": start_ms, "end_ms": end_ms})

    def _tell(self, event: dict[str, object]) -> None:
        self._sidebands.tell(json.dumps(event, separators=(",", ":")), again=False)
