"""Session configurations as the vendor takes them: realtime, transcription, translation.

Source: https://platform.openai.com/docs/api-reference/realtime-sessions. A member that may be
switched off with ``null`` is optional here; every other one must have its type.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

from service.sandbox.shapes.audio import Audio, AudioInput, NoiseReduction
from service.sandbox.shapes.base import MaxOutputTokens, Shape, by_kind
from service.sandbox.shapes.tools import Tool, ToolChoice


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
    output_modalities: list[Literal["text", "audio"]] = Field(default=["audio"])
    tools: list[Tool] = Field(default=[])
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
