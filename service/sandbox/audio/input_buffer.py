"""The input audio buffer, with turn detection by loudness.

Positions are milliseconds of audio appended since the session began, as the vendor counts them. They do not depend on
how fast the audio arrives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import mul
from typing import Any, Literal

from service.sandbox.audio.pcm import BYTES_PER_MS, milliseconds, samples

_FRAME_MS = 20
_FRAME_BYTES = _FRAME_MS * BYTES_PER_MS
_ONSET_FRAMES = 3
"""Speech begins after 60 ms of loud audio; anything shorter is a click."""

_RMS_AT_FULL_THRESHOLD = 2600
"""The RMS that speech must reach at threshold 1.0; the default of 0.5 is about -28 dBFS."""

_SEMANTIC_SILENCE_MS = {"low": 1000, "medium": 600, "auto": 600, "high": 300}
_SEMANTIC_PREFIX_MS = 300
_DEFAULT_THRESHOLD = 0.5
MAX_MS = 300_000
"""Milliseconds of audio that are kept of one turn or item, 14 MB.

A turn that is longer is cut here, and of audio that is never committed the latest is kept: a microphone may be loud
for hours.
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """The beginning or end of speech.

    ``at_ms`` is its position in milliseconds of audio, padding included; with ``stopped``, ``audio`` is the PCM of
    the whole turn.
    """

    kind: Literal["started", "stopped"]
    at_ms: int
    audio: bytes = b""


class InputBuffer:
    """Audio that was appended and not yet committed.

    ``turn_detection`` is the session's member of that name; with None, the client finds turns itself.
    """

    def __init__(self, turn_detection: dict[str, Any] | None) -> None:
        self._pcm = bytearray()
        self._heard_ms = 0
        self._unread = bytearray()
        self._loud = self._quiet = 0
        self.speaking = False
        self.configure(turn_detection)

    def configure(self, turn_detection: dict[str, Any] | None) -> None:
        """Apply new settings of turn detection; the audio in the buffer stays."""
        self._detecting = turn_detection is not None
        settings = turn_detection or {}
        eagerness = settings.get("eagerness", "auto")
        self._prefix_ms: int = settings.get("prefix_padding_ms", _SEMANTIC_PREFIX_MS)
        self._silence_ms: int = settings.get("silence_duration_ms", _SEMANTIC_SILENCE_MS[eagerness])
        self._threshold = settings.get("threshold", _DEFAULT_THRESHOLD) * _RMS_AT_FULL_THRESHOLD

    @property
    def pending_ms(self) -> int:
        """Return the milliseconds of audio that a commit would take."""
        return milliseconds(self._pcm)

    def pending_range(self) -> tuple[int, int]:
        """Return where the uncommitted silence begins and ends, in milliseconds."""
        return max(0, self._heard_ms - self.pending_ms), self._heard_ms

    def append(self, pcm: bytes) -> list[Turn]:
        """Add audio; return the beginnings and ends of turns that are found in it."""
        if not self._detecting:
            self._pcm += pcm
            self._heard_ms += milliseconds(pcm)
            del self._pcm[: max(0, len(self._pcm) - MAX_MS * BYTES_PER_MS)]
            return []
        self._unread += pcm
        turns = []
        while len(self._unread) >= _FRAME_BYTES:
            frame = bytes(self._unread[:_FRAME_BYTES])
            del self._unread[:_FRAME_BYTES]
            turn = self._process(frame)
            if turn:
                turns.append(turn)
        return turns

    def take(self) -> bytes:
        """Empty the buffer and return its audio."""
        pcm = bytes(self._pcm + self._unread)
        self.clear()
        return pcm

    def clear(self) -> None:
        """Empty the buffer."""
        self._pcm.clear()
        self._unread.clear()
        self._loud = self._quiet = 0
        self.speaking = False

    def _process(self, frame: bytes) -> Turn | None:
        self._pcm += frame
        self._heard_ms += _FRAME_MS
        loud = _rms(frame) > self._threshold
        self._loud = self._loud + 1 if loud else 0
        self._quiet = 0 if loud else self._quiet + _FRAME_MS
        if self.speaking:
            over = self._quiet >= self._silence_ms or self.pending_ms >= MAX_MS
            return Turn("stopped", self._heard_ms, self.take()) if over else None
        kept_ms = min(self._prefix_ms + _ONSET_FRAMES * _FRAME_MS, MAX_MS)
        del self._pcm[: max(0, len(self._pcm) - kept_ms * BYTES_PER_MS)]
        if self._loud < _ONSET_FRAMES:
            return None
        self.speaking = True
        return Turn("started", self._heard_ms - milliseconds(self._pcm))


def speech_ms(pcm: bytes) -> int:
    """Return the milliseconds from the first speech in audio to the last."""
    starts = range(0, len(pcm) - _FRAME_BYTES + 1, _FRAME_BYTES)
    loud = [at for at in starts if is_speech(pcm[at : at + _FRAME_BYTES])]
    return (loud[-1] - loud[0]) // BYTES_PER_MS + _FRAME_MS if loud else 0


def is_speech(pcm: bytes) -> bool:
    """Return whether audio is loud enough to be speech, by the vendor's default threshold."""
    return _rms(pcm) > _DEFAULT_THRESHOLD * _RMS_AT_FULL_THRESHOLD


def _rms(frame: bytes) -> float:
    values = samples(frame)
    return math.sqrt(sum(map(mul, values, values)) / len(values))
