"""Session configurations: realtime, transcription, translation.

Source: https://platform.openai.com/docs/api-reference/realtime-sessions. Only members that ``null`` switches off are
optional here; every other one must have its type.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

from service.sandbox.schemas.audio import Audio, AudioInput, NoiseReduction
from service.sandbox.schemas.tools import Tool, ToolChoice
from service.sandbox.schemas.validation import MaxOutputTokens, StrictModel, string_or_object


class Tracing(StrictModel):
    """How the vendor's dashboard labels a session's trace."""

    workflow_name: str | None = None
    group_id: str | None = None
    metadata: dict[str, Any] | None = None


TracingSetting = Annotated[
    Annotated[Literal["auto"], Tag("string")] | Annotated[Tracing, Tag("object")],
    Discriminator(string_or_object),
]


class TokenLimits(StrictModel):
    """The number of tokens that a truncated conversation keeps."""

    post_instructions: Annotated[int, Field(ge=0)] | None = None


class RetentionRatio(StrictModel):
    """The share of a conversation that truncation keeps."""

    type: Literal["retention_ratio"]
    retention_ratio: Annotated[float, Field(ge=0, le=1)]
    token_limits: TokenLimits | None = None


class Prompt(StrictModel):
    """A prompt that is stored at the vendor."""

    id: str
    version: str | None = None
    variables: dict[str, Any] | None = None


class Reasoning(StrictModel):
    """Reasoning settings."""

    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class Generation(StrictModel):
    """Settings that sessions and single responses share."""

    instructions: str = ""
    output_modalities: list[Literal["text", "audio"]] = Field(default=["audio"])
    tools: list[Tool] = Field(default=[])
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: MaxOutputTokens = "inf"
    prompt: Prompt | None = None

    @field_validator("output_modalities")
    @classmethod
    def _exactly_one_modality(cls, value: list[str]) -> list[str]:
        if len(value) != 1:
            raise PydanticCustomError(
                "invalid_value",
                "Invalid modalities: {given}. Supported combinations are: ['text'] and ['audio'].",
                {"given": repr(value)},
            )
        return value


Include = list[Literal["item.input_audio_transcription.logprobs"]]


class RealtimeSession(Generation):
    """Configuration of a conversation."""

    type: Literal["realtime"]
    model: str = ""
    audio: Audio | None = None
    include: Include | None = None
    tracing: TracingSetting | None = None
    truncation: Annotated[
        Annotated[Literal["auto", "disabled"], Tag("string")] | Annotated[RetentionRatio, Tag("object")],
        Discriminator(string_or_object),
    ] = "auto"


class TranscriptionAudio(StrictModel):
    """Audio settings of a transcription, which has input only."""

    input: AudioInput | None = None


class TranscriptionSession(StrictModel):
    """Configuration of a transcription: speech in, text out."""

    type: Literal["transcription"]
    audio: TranscriptionAudio | None = None
    include: Include | None = None


AnySession = Annotated[RealtimeSession | TranscriptionSession, Field(discriminator="type")]


class TranslationTranscription(StrictModel):
    """Transcription of the source language."""

    model: str


class TranslationInput(StrictModel):
    """Settings of a translation's input audio."""

    noise_reduction: NoiseReduction | None = None
    transcription: TranslationTranscription | None = None


class TranslationOutput(StrictModel):
    """Settings of a translation's output, which is its target language."""

    language: str | None = None


class TranslationAudio(StrictModel):
    """Audio settings of a translation."""

    input: TranslationInput | None = None
    output: TranslationOutput | None = None


class TranslationUpdate(StrictModel):
    """The part of a translation that may change while it runs: all but its model."""

    audio: TranslationAudio | None = None


class TranslationSession(TranslationUpdate):
    """Configuration of a translation: speech in, speech and text of another language out."""

    model: str
