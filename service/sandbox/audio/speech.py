"""Synthetic speech: each word becomes vowels and noise with the timing of speech, but cannot be understood.

This is formant synthesis in its simplest form: a vowel is one pitch period, a sum of harmonics weighted by the
vowel's formants (after Peterson & Barney, 1952), repeated for the length of the syllable. All periods begin and end
at zero, so any two join without a click, and each is computed once.
"""

from __future__ import annotations

import array
import math
import random
import re
import unicodedata
from functools import cache, lru_cache
from itertools import cycle, pairwise

from service.sandbox.audio.pcm import BYTES_PER_MS, SAMPLE_RATE, to_bytes

_FORMANTS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
    "m": (250, 1000, 2100),
}
_FORMANT_GAINS = (1.0, 0.6, 0.25)
_BANDWIDTH = 90.0
_HIGHEST_HARMONIC = 4200.0
_PEAK = 15000
"""Loudest sample of a vowel, a little under half of full scale."""

_LOUDNESS_STEPS = 12
_VOICE_PITCH = {
    "alloy": 150,
    "ash": 112,
    "ballad": 128,
    "coral": 205,
    "echo": 105,
    "sage": 190,
    "shimmer": 222,
    "verse": 134,
    "marin": 200,
    "cedar": 116,
}
_DEFAULT_PITCH = 150

_SYLLABLE_MS = 150
_NOISE_MS = 60
_NASAL_MS = 45
_STOP_MS = 30
_WORD_GAP_MS = 50
_SENTENCE_GAP_MS = 260
_CLAUSE_GAP_MS = 140

_INTONATION = (3, 2, 2, 1, 0, 1, 0, -1, -1, -2)
"""The intonation of a sentence in semitones, word by word; it falls towards the end."""

_QUESTION_RISE = 5


def synthesize(words: list[str], voice: str, *, speed: float = 1.0) -> list[bytes]:
    """Return the PCM of each word.

    ``voice``, one of the vendor's names, chooses the pitch; ``speed`` is relative to ordinary speech.
    """
    intonation = cycle(_INTONATION)
    spoken = []
    for word in words:
        semitones = next(intonation) + (_QUESTION_RISE if word.endswith("?") else 0)
        spoken.append(_word(word, _VOICE_PITCH.get(voice, _DEFAULT_PITCH), semitones, speed))
        if word[-1:] in ".!?":
            intonation = cycle(_INTONATION)
    return spoken


@lru_cache(maxsize=512)
def _word(word: str, pitch: int, semitones: int, speed: float) -> bytes:
    parts = []
    for onset, vowel in _syllables(word):
        parts.append(_consonant(onset, pitch, speed))
        parts.append(_vowel(vowel, pitch * 2 ** (semitones / 12), _SYLLABLE_MS / speed))
    gap_ms = _WORD_GAP_MS
    if word[-1:] in {".", "!", "?"}:
        gap_ms = _SENTENCE_GAP_MS
    elif word[-1:] in {",", ";", ":"}:
        gap_ms = _CLAUSE_GAP_MS
    parts.append(_silence(gap_ms / speed))
    return b"".join(parts)


def _syllables(word: str) -> list[tuple[str, str]]:
    """Split a word into (consonant, vowel) pairs; other scripts get vowels by code point."""
    plain = unicodedata.normalize("NFKD", word.lower()).replace("y", "i")
    letters = "".join(letter for letter in plain if letter.isalnum())
    found = re.findall(r"([^aeiou]*)([aeiou])[aeiou]*", letters)
    if found:
        return [(onset[-1:], vowel) for onset, vowel in found]
    return [(letter, "aeiou"[ord(letter) % 5]) for letter in letters[:2]]


def _consonant(letter: str, pitch: int, speed: float) -> bytes:
    if not letter:
        return b""
    if letter in "sfzxhcjv":
        return _noise()[: round(_NOISE_MS / speed) * BYTES_PER_MS]
    if letter in "ptkbdgq":
        return _silence(_STOP_MS / speed) + _noise()[: 8 * BYTES_PER_MS]
    return _vowel("m", pitch, _NASAL_MS / speed, loudness=0.5)


def _silence(ms: float) -> bytes:
    return bytes(round(ms) * BYTES_PER_MS)


def _vowel(vowel: str, pitch: float, ms: float, *, loudness: float = 1.0) -> bytes:
    """Repeat a pitch period under an envelope that rises and falls."""
    periods = max(2, round(ms * pitch / 1000))
    parts = []
    for index in range(periods):
        envelope = min(1.0, (index + 1) / 4, (periods - index) / 6) * loudness
        parts.append(_period(vowel, round(pitch), max(1, round(envelope * _LOUDNESS_STEPS))))
    return b"".join(parts)


@cache
def _period(vowel: str, pitch: int, loudness: int) -> bytes:
    wave = _wave(vowel, pitch)
    gain = _PEAK * loudness / _LOUDNESS_STEPS
    return to_bytes(array.array("h", (round(value * gain) for value in wave)))


@cache
def _wave(vowel: str, pitch: int) -> tuple[float, ...]:
    """Compute one period of a vowel with a peak of 1."""
    length = round(SAMPLE_RATE / pitch)
    harmonics = []
    for number in range(1, int(_HIGHEST_HARMONIC / pitch) + 1):
        resonances = zip(_FORMANT_GAINS, _FORMANTS[vowel], strict=True)
        gain = sum(g / (1 + ((number * pitch - formant) / _BANDWIDTH) ** 2) for g, formant in resonances)
        harmonics.append((2 * math.pi * number / length, gain))
    raw = [sum(gain * math.sin(step * at) for step, gain in harmonics) for at in range(length)]
    peak = max(abs(value) for value in raw)
    return tuple(value / peak for value in raw)


@cache
def _noise() -> bytes:
    """Compute a tenth of a second of soft, high-pitched noise, the same in every run."""
    source = random.Random(1)  # noqa: S311 - noise for audio, not a secret
    samples = [source.uniform(-1, 1) for _ in range(SAMPLE_RATE // 10 + 1)]
    high = (round((after - before) * 1200) for before, after in pairwise(samples))
    return to_bytes(array.array("h", high))
