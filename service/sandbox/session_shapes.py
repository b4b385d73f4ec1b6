"""Session configurations as the vendor takes them: realtime, transcription, translation.

Source: https://platform.openai.com/docs/api-reference/realtime-sessions. A member that may be
switched off with ``null`` is optional here; every other one must have its type.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")


class Shape(BaseModel):
    """A JSON object: known members only, and of exactly the type they should have."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def by_kind(value: object) -> str:
    """Tell a union's plain member from its object, so that errors name the one that was meant."""
    return "word" if isinstance(value, str) else "other"


MaxOutputTokens = Annotated[
    Annotated[Literal["inf"], Tag("word")] | Annotated[Annotated[int, Field(ge=1, le=4096)], Tag("other")],
    Discriminator(by_kind),
]


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
    Annotated[Literal[VOICES], Tag("word")] | Annotated[CustomVoice, Tag("other")],
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


class FunctionTool(Shape):
    """A function that the client offers to run."""

    type: Literal["function"]
    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class McpTool(BaseModel):
    """A remote tool server; the sandbox takes its configuration and never calls it."""

    model_config = ConfigDict(strict=True, frozen=True)

    type: Literal["mcp"]
    server_label: str


Tool = Annotated[FunctionTool | McpTool, Field(discriminator="type")]


class FunctionChoice(Shape):
    """The one function the model must call."""

    type: Literal["function"]
    name: str


class McpChoice(Shape):
    """The one remote tool the model must call."""

    type: Literal["mcp"]
    server_label: str
    name: str | None = None


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("word")]
    | Annotated[Annotated[FunctionChoice | McpChoice, Field(discriminator="type")], Tag("other")],
    Discriminator(by_kind),
]


class Tracing(Shape):
    """Where the vendor's dashboard files a session's trace."""

    workflow_name: str | None = None
    group_id: str | None = None
    metadata: dict[str, Any] | None = None


class TokenLimits(Shape):
    """How many tokens a truncated conversation keeps."""

    post_instructions: Annotated[int, Field(ge=0)] | None = None


class RetentionRatio(Shape):
    """What part of a conversation that is too long is kept."""

    type: Literal["retention_ratio"]
    retention_ratio: Annotated[float, Field(ge=0, le=1)]
    token_limits: TokenLimits | None = None


class Prompt(Shape):
    """A prompt stored with the vendor."""

    id: str
    version: str | None = None
    variables: dict[str, Any] | None = None


class Reasoning(Shape):
    """How hard a reasoning model thinks."""

    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class Generation(Shape):
    """What a session and a single response may both say about answers."""

    instructions: str = ""
    output_modalities: list[Literal["text", "audio"]] = ["audio"]
    tools: list[Tool] = []
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: MaxOutputTokens = "inf"
    prompt: Prompt | None = None

    @field_validator("output_modalities")
    @classmethod
    def _one_modality(cls, value: list[str]) -> list[str]:
        if len(value) != 1:
            raise PydanticCustomError(
                "invalid_value",
                "Invalid modalities: {given}. Supported combinations are: ['text'] and ['audio'].",
                {"given": repr(value)},
            )
        return value


Include = list[Literal["item.input_audio_transcription.logprobs"]]


class RealtimeSession(Generation):
    """A conversation with a model."""

    type: Literal["realtime"]
    model: str = ""
    audio: Audio | None = None
    include: Include | None = None
    tracing: (
        Annotated[
            Annotated[Literal["auto"], Tag("word")] | Annotated[Tracing, Tag("other")], Discriminator(by_kind)
        ]
        | None
    ) = None
    truncation: Annotated[
        Annotated[Literal["auto", "disabled"], Tag("word")] | Annotated[RetentionRatio, Tag("other")],
        Discriminator(by_kind),
    ] = "auto"


class TranscriptionAudio(Shape):
    """A transcription session only listens."""

    input: AudioInput | None = None


class TranscriptionSession(Shape):
    """Speech in, text out."""

    type: Literal["transcription"]
    audio: TranscriptionAudio | None = None
    include: Include | None = None


Session = Annotated[RealtimeSession | TranscriptionSession, Field(discriminator="type")]


class TranslationTranscription(Shape):
    """The model that writes down the source language."""

    model: str


class TranslationInput(Shape):
    """How the speaker is listened to."""

    noise_reduction: NoiseReduction | None = None
    transcription: TranslationTranscription | None = None


class TranslationOutput(Shape):
    """The target language."""

    language: str | None = None


class TranslationAudio(Shape):
    """Both directions of a translation."""

    input: TranslationInput | None = None
    output: TranslationOutput | None = None


class TranslationUpdate(Shape):
    """What may change while a translation runs: all but its model."""

    audio: TranslationAudio | None = None


class TranslationSession(TranslationUpdate):
    """Speech in, speech and text of another language out."""

    model: str
