"""Audio settings of sessions: formats, turn detection, transcription, voices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from service.sandbox.schemas.validation import StrictModel, string_or_object

VoiceName = Literal["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"]


class Pcm(StrictModel):
    """16-bit linear audio, 24 kHz, mono, little-endian."""

    type: Literal["audio/pcm"]
    rate: Literal[24000]


class G711(StrictModel):
    """8-bit telephone audio, 8 kHz, mono."""

    type: Literal["audio/pcmu", "audio/pcma"]


_PCM = Pcm(type="audio/pcm", rate=24000)

Format = Annotated[Pcm | G711, Field(discriminator="type")]


class NoiseReduction(StrictModel):
    """Noise reduction on the input audio."""

    type: Literal["near_field", "far_field"]
    strength: float | None = None


class Transcription(StrictModel):
    """Transcription of the input audio."""

    model: str | None = None
    language: str | None = None
    languages: list[str] | None = None
    prompt: str | None = None
    keywords: list[str] | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class ServerVad(StrictModel):
    """Turn detection by loudness."""

    type: Literal["server_vad"]
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    prefix_padding_ms: Annotated[int, Field(ge=0)] = 300
    silence_duration_ms: Annotated[int, Field(ge=0)] = 500
    idle_timeout_ms: Annotated[int, Field(ge=5000, le=30000)] | None = None
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(StrictModel):
    """Turn detection by meaning."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


class AudioInput(StrictModel):
    """Settings of the input audio."""

    format: Format = _PCM
    noise_reduction: NoiseReduction | None = None
    transcription: Transcription | None = None
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] | None = None


class CustomVoice(StrictModel):
    """A custom voice."""

    id: str


Voice = Annotated[
    Annotated[VoiceName, Tag("string")] | Annotated[CustomVoice, Tag("object")],
    Discriminator(string_or_object),
]


class AudioOutput(StrictModel):
    """Settings of the output audio."""

    format: Format = _PCM
    voice: Voice = "alloy"
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0


class Audio(StrictModel):
    """Audio settings of a conversation."""

    input: AudioInput | None = None
    output: AudioOutput | None = None
