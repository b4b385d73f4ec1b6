"""The input audio buffer, and finding turns of speech in it by loudness.

Positions are milliseconds of audio appended since the session began, not of the clock on the wall:
that is how the vendor counts, and it makes the result the same however fast the audio arrives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import mul
from typing import Any, Literal

from service.sandbox.sound.pcm import BYTES_PER_MS, milliseconds, samples

_FRAME_MS = 20
_FRAME_BYTES = _FRAME_MS * BYTES_PER_MS
_ONSET_FRAMES = 3
"""Speech begins after 60 ms of loudness: shorter is a click."""

_LOUDEST_THRESHOLD = 2600
"""The RMS that speech must reach at threshold 1.0; the default of 0.5 is about -28 dBFS."""

_SEMANTIC_SILENCE_MS = {"low": 1000, "medium": 600, "auto": 600, "high": 300}
_SEMANTIC_PREFIX_MS = 300
_DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Turn:
    """Speech began or stopped.

    ``at_ms`` is where, in milliseconds of audio, padding being part of the speech; with ``stopped``, ``audio`` is
    the PCM of the whole turn.
    """

    kind: Literal["started", "stopped"]
    at_ms: int
    audio: bytes = b""


class InputBuffer:
    """Audio that was appended and not yet committed.

    ``turn_detection`` is the session's member of that name; ``None`` leaves turns to the client.
    """

    def __init__(self, turn_detection: dict[str, Any] | None) -> None:
        self._pcm = bytearray()
        self._heard_ms = 0
        self._unread = bytearray()
        self._loud = self._quiet = 0
        self.speaking = False
        self.configure(turn_detection)

    def configure(self, turn_detection: dict[str, Any] | None) -> None:
        """Take new settings for finding turns; what was heard so far stays."""
        self._detecting = turn_detection is not None
        settings = turn_detection or {}
        eagerness = settings.get("eagerness", "auto")
        self._prefix_ms: int = settings.get("prefix_padding_ms", _SEMANTIC_PREFIX_MS)
        self._silence_ms: int = settings.get("silence_duration_ms", _SEMANTIC_SILENCE_MS[eagerness])
        self._threshold = settings.get("threshold", _DEFAULT_THRESHOLD) * _LOUDEST_THRESHOLD

    @property
    def pending_ms(self) -> int:
        """How much audio a commit would take."""
        return milliseconds(self._pcm)

    def waited(self) -> tuple[int, int]:
        """Where the silence that was not committed begins and ends, in milliseconds."""
        return max(0, self._heard_ms - self.pending_ms), self._heard_ms

    def append(self, pcm: bytes) -> list[Turn]:
        """Hear more audio; tell which turns began and stopped in it."""
        if not self._detecting:
            self._pcm += pcm
            self._heard_ms += milliseconds(pcm)
            return []
        self._unread += pcm
        turns = []
        while len(self._unread) >= _FRAME_BYTES:
            frame = bytes(self._unread[:_FRAME_BYTES])
            del self._unread[:_FRAME_BYTES]
            turn = self._hear(frame)
            if turn:
                turns.append(turn)
        return turns

    def take(self) -> bytes:
        """Give out and forget everything that was not committed."""
        pcm = bytes(self._pcm + self._unread)
        self.clear()
        return pcm

    def clear(self) -> None:
        """Forget everything that was not committed."""
        self._pcm.clear()
        self._unread.clear()
        self._loud = self._quiet = 0
        self.speaking = False

    def _hear(self, frame: bytes) -> Turn | None:
        self._pcm += frame
        self._heard_ms += _FRAME_MS
        loud = _rms(frame) > self._threshold
        self._loud = self._loud + 1 if loud else 0
        self._quiet = 0 if loud else self._quiet + _FRAME_MS
        if not self.speaking:
            return self._maybe_start()
        if self._quiet >= self._silence_ms:
            at_ms = self._heard_ms
            return Turn("stopped", at_ms, self.take())
        return None

    def _maybe_start(self) -> Turn | None:
        kept_ms = self._prefix_ms + _ONSET_FRAMES * _FRAME_MS
        del self._pcm[: max(0, len(self._pcm) - kept_ms * BYTES_PER_MS)]
        if self._loud < _ONSET_FRAMES:
            return None
        self.speaking = True
        return Turn("started", self._heard_ms - milliseconds(self._pcm))


def is_speech(pcm: bytes) -> bool:
    """Whether audio is loud enough to be speech, by the vendor's default threshold."""
    return _rms(pcm) > _DEFAULT_THRESHOLD * _LOUDEST_THRESHOLD


def _rms(frame: bytes) -> float:
    values = samples(frame)
    return math.sqrt(sum(map(mul, values, values)) / len(values))
