"""Synthetic speech and audio formats: loudness, length, lossless conversion."""

from __future__ import annotations

import array
import math
from itertools import pairwise
from operator import mul
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.sandbox.audio import pcm, speech
from service.sandbox.audio.input_buffer import InputBuffer
from service.sandbox.schemas.audio import VoiceName

_SENTENCE = ["The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog."]


def _rms(audio: bytes) -> float:
    values = pcm.samples(audio)
    return math.sqrt(sum(value * value for value in values) / len(values))


@pytest.mark.parametrize("voice", get_args(VoiceName))
def test_every_voice_is_audible_and_not_clipped(voice: str) -> None:
    """As loud as speech, with headroom."""
    audio = b"".join(speech.synthesize(_SENTENCE, voice))
    assert 1500 < _rms(audio) < 8000
    assert 8000 < max(map(abs, pcm.samples(audio))) < 24_000


def test_a_sentence_lasts_as_long_as_it_takes_to_say() -> None:
    """Nine words take about three seconds."""
    audio = b"".join(speech.synthesize(_SENTENCE, "marin"))
    assert 2000 < pcm.milliseconds(audio) < 5000


def test_a_longer_word_takes_longer_and_a_faster_voice_less() -> None:
    """Length grows with syllables and shrinks with ``speed``."""
    short, long = speech.synthesize(["fox", "hippopotamus"], "marin")
    assert len(long) > 2 * len(short)
    (fast,) = speech.synthesize(["hippopotamus"], "marin", speed=1.5)
    assert len(fast) == pytest.approx(len(long) / 1.5, rel=0.1)


def test_voices_differ_in_pitch() -> None:
    """The period of a low voice has more samples than that of a high one."""
    assert _period("echo") > 1.5 * _period("shimmer")


def _period(voice: str) -> int:
    """Return the period of a vowel in samples, by autocorrelation."""
    vowel = pcm.samples(speech.synthesize(["o"], voice)[0])[1000:1600]
    return max(range(80, 300), key=lambda lag: sum(map(mul, vowel, vowel[lag:])) / (len(vowel) - lag))


def test_words_join_without_a_click() -> None:
    """No step between neighbouring samples is larger than those inside the loudest vowel."""
    values = pcm.samples(b"".join(speech.synthesize(["banana", "moon", "rain"], "alloy")))
    assert max(abs(b - a) for a, b in pairwise(values)) < 9000


@pytest.mark.parametrize("word", ["大家", "शुभ", "Привет", "123", "…", "\N{GRINNING FACE}"])
def test_any_script_can_be_spoken(word: str) -> None:
    """A word without vowels becomes a sound or a pause."""
    assert speech.synthesize([word], "alloy")[0]


@pytest.mark.parametrize("encoding", ["audio/pcmu", "audio/pcma"])
def test_telephone_audio_keeps_loudness_and_shape(encoding: str) -> None:
    """A tone is encoded, decoded, and compared."""
    tone = array.array("h", (round(12_000 * math.sin(2 * math.pi * 300 * n / 24_000)) for n in range(4800)))
    coded = pcm.encode(pcm.to_bytes(tone), encoding)
    assert len(coded) == len(tone) // 3
    back = pcm.samples(pcm.decode(coded, encoding))
    assert max(abs(a - b) for a, b in zip(tone, back, strict=True)) < 1500


def test_the_laws_are_those_of_the_standard() -> None:
    """The reference values of ITU-T G.711 and of silence."""
    assert pcm.samples(pcm.decode(b"\x00\x80\xff", "audio/pcmu"))[::3].tolist() == [-32124, 32124, 0]
    assert pcm.samples(pcm.decode(b"\x2a\xaa\xd5", "audio/pcma"))[::3].tolist() == [-32256, 32256, 8]


@given(st.binary(max_size=200), st.sampled_from(["audio/pcmu", "audio/pcma"]))
def test_any_telephone_bytes_survive_decoding_and_encoding(coded: bytes, encoding: str) -> None:
    """Decoding and encoding again gives the same levels."""
    once = pcm.decode(coded, encoding)
    levels, again = pcm.samples(once), pcm.samples(pcm.decode(pcm.encode(once, encoding), encoding))
    assert all(abs(a - b) <= max(16, abs(a) // 16) for a, b in zip(levels, again, strict=True))


def test_endless_noise_is_cut_into_turns_of_five_minutes() -> None:
    """So a microphone that is loud for hours takes no more memory than that."""
    second = speech.synthesize(["mmmmmmmmmmmmmmmmmmmm"], "marin")[0][:4800] * 10
    buffer = InputBuffer({"silence_duration_ms": 500})
    turns = [turn for _ in range(301) for turn in buffer.append(second)]
    assert [turn.kind for turn in turns][:2] == ["started", "stopped"]
    assert pcm.milliseconds(turns[1].audio) == 300_000


def test_of_audio_that_is_never_committed_the_latest_is_kept() -> None:
    """Where the client finds turns itself, and finds none."""
    buffer = InputBuffer(None)
    for minute in range(7):
        buffer.append(bytes([minute]) * 60_000 * pcm.BYTES_PER_MS)
    assert buffer.pending_ms == 300_000
    assert buffer.take()[0] == 2
