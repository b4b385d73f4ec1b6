"""Session and response settings in the retired beta's flat form."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, field_validator
from pydantic_core import PydanticCustomError

from service.sandbox.schemas.audio import NoiseReduction, SemanticVad, ServerVad, Transcription, VoiceName
from service.sandbox.schemas.session import Tracing
from service.sandbox.schemas.tools import FunctionTool, ToolChoice
from service.sandbox.schemas.validation import MaxOutputTokens, StrictModel

DEFAULT_TEMPERATURE = 0.8


class FlatSettings(StrictModel):
    """Settings that the beta's sessions and responses share."""

    modalities: list[Literal["text", "audio"]] = Field(default=["text", "audio"])
    instructions: str = ""
    voice: VoiceName = "alloy"
    output_audio_format: Literal["pcm16", "g711_ulaw", "g711_alaw"] = "pcm16"
    tools: list[FunctionTool] = Field(default=[])
    tool_choice: ToolChoice = "auto"
    temperature: Annotated[float, Field(ge=0.6, le=1.2)] = DEFAULT_TEMPERATURE

    @field_validator("modalities")
    @classmethod
    def _require_text(cls, value: list[str]) -> list[str]:
        if "text" not in value:
            raise PydanticCustomError(
                "invalid_value",
                "Invalid modalities: {given}. Supported combinations are: ['text'] and ['audio', 'text'].",
                {"given": repr(value)},
            )
        return value


class FlatSession(FlatSettings):
    """Configuration of a beta session."""

    model: str = ""
    input_audio_format: Literal["pcm16", "g711_ulaw", "g711_alaw"] = "pcm16"
    input_audio_noise_reduction: NoiseReduction | None = None
    input_audio_transcription: Transcription | None = None
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] | None = None
    max_response_output_tokens: MaxOutputTokens = "inf"
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0
    tracing: Tracing | Literal["auto"] | None = None


class FlatResponse(FlatSettings):
    """Settings of one beta response."""

    conversation: Literal["auto", "none"] = "auto"
    input: list[dict[str, Any]] | None = None
    max_output_tokens: MaxOutputTokens = "inf"
    max_response_output_tokens: MaxOutputTokens = "inf"
    metadata: dict[str, str] | None = None


SESSION: TypeAdapter[Any] = TypeAdapter(FlatSession)
RESPONSE: TypeAdapter[Any] = TypeAdapter(FlatResponse)
