"""Audio formats: 16-bit PCM at 24 kHz inside, G.711 at 8 kHz for clients that ask for it.

Source: ITU-T G.711. Both laws are decoded by formula and encoded by searching the nearest level.
"""

from __future__ import annotations

import array
import sys
from bisect import bisect_left
from functools import cache

SAMPLE_RATE = 24000
"""Samples per second."""

BYTES_PER_MS = SAMPLE_RATE * 2 // 1000

_TELEPHONE_RATIO = 3
"""24 kHz to 8 kHz."""

_SIGN, _SEGMENT, _STEP = 0x80, 0x70, 0x0F


def milliseconds(pcm: bytes | bytearray) -> int:
    """Return the duration of PCM in milliseconds."""
    return len(pcm) // BYTES_PER_MS


def samples(pcm: bytes) -> array.array[int]:
    """Convert little-endian PCM to samples; half a sample at the end is dropped."""
    read = array.array("h", pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        read.byteswap()
    return read


def to_bytes(values: array.array[int]) -> bytes:
    """Convert samples to little-endian PCM."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def decode(audio: bytes, encoding: str) -> bytes:
    """Convert a client's audio to PCM.

    ``encoding`` is ``audio/pcm``, ``audio/pcmu`` or ``audio/pcma``.
    """
    if encoding == "audio/pcm":
        return audio
    levels = _levels(encoding)
    return to_bytes(array.array("h", (levels[byte] for byte in audio for _ in range(_TELEPHONE_RATIO))))


def encode(pcm: bytes, encoding: str) -> bytes:
    """Convert PCM to the client's encoding, one of those that ``decode`` takes."""
    if encoding == "audio/pcm":
        return pcm
    values, nearest = samples(pcm), _nearest(encoding)
    thirds = zip(*(values[start::_TELEPHONE_RATIO] for start in range(_TELEPHONE_RATIO)), strict=False)
    return bytes(nearest[(sum(third) // _TELEPHONE_RATIO + 0x8000) >> 4] for third in thirds)


@cache
def _levels(encoding: str) -> tuple[int, ...]:
    """Return the PCM level of each byte, by the formula of the law."""
    levels = []
    for code in range(256):
        if encoding == "audio/pcmu":
            byte, is_negative = ~code & 0xFF, not code & _SIGN
            magnitude = ((((byte & _STEP) << 3) + 0x84) << ((byte & _SEGMENT) >> 4)) - 0x84
        else:
            byte = code ^ 0x55
            segment, magnitude, is_negative = (
                (byte & _SEGMENT) >> 4,
                ((byte & _STEP) << 4) + 8,
                not byte & _SIGN,
            )
            if segment:
                magnitude = (magnitude + 0x100) << (segment - 1)
        levels.append(-magnitude if is_negative else magnitude)
    return tuple(levels)


@cache
def _nearest(encoding: str) -> bytes:
    """Return the code nearest to every sixteenth level, from the lowest one."""
    ordered = sorted((level, byte) for byte, level in enumerate(_levels(encoding)))
    values = [level for level, _ in ordered]
    codes = bytearray()
    for sample in range(-0x8000, 0x8000, 16):
        above = min(bisect_left(values, sample), len(values) - 1)
        below = max(above - 1, 0)
        is_lower_nearer = sample - values[below] < values[above] - sample
        codes.append(ordered[below if is_lower_nearer else above][1])
    return bytes(codes)
