"""How a session listens and speaks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from service.sandbox.shapes.base import Shape, by_kind

VoiceName = Literal["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"]


class Pcm(Shape):
    """16-bit linear audio, 24 kHz, mono, little-endian."""

    type: Literal["audio/pcm"]
    rate: Literal[24000] = 24000


class G711(Shape):
    """8-bit telephone audio, 8 kHz, mono."""

    type: Literal["audio/pcmu", "audio/pcma"]


Format = Annotated[Pcm | G711, Field(discriminator="type")]


class NoiseReduction(Shape):
    """Filtering before the audio is listened to."""

    type: Literal["near_field", "far_field"]
    strength: float | None = None


class Transcription(Shape):
    """The model that writes down what the user says."""

    model: str | None = None
    language: str | None = None
    languages: list[str] | None = None
    prompt: str | None = None
    keywords: list[str] | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class ServerVad(Shape):
    """Turns found by loudness."""

    type: Literal["server_vad"]
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    prefix_padding_ms: Annotated[int, Field(ge=0)] = 300
    silence_duration_ms: Annotated[int, Field(ge=0)] = 500
    idle_timeout_ms: Annotated[int, Field(ge=5000, le=30000)] | None = None
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Shape):
    """Turns found by meaning."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


class AudioInput(Shape):
    """How the user is listened to."""

    format: Format = Pcm(type="audio/pcm")
    noise_reduction: NoiseReduction | None = None
    transcription: Transcription | None = None
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] | None = None


class CustomVoice(Shape):
    """A voice of the customer's own."""

    id: str


Voice = Annotated[
    Annotated[VoiceName, Tag("word")] | Annotated[CustomVoice, Tag("other")],
    Discriminator(by_kind),
]


class AudioOutput(Shape):
    """How the model speaks."""

    format: Format = Pcm(type="audio/pcm")
    voice: Voice = "alloy"
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0


class Audio(Shape):
    """Both directions of a conversation."""

    input: AudioInput | None = None
    output: AudioOutput | None = None
