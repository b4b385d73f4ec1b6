"""GPT-Live's bodies and client events as the vendor takes them: known members only.

Sources: ``openai.types.live`` of the vendor's Python SDK (3.57), which this follows member by member, and its guides
for the bounds. Two kinds of delegation and the triggers run a model of their own, which the sandbox has not got.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter, field_validator, model_validator
from pydantic_core import PydanticCustomError

from service.sandbox.schemas.validation import StrictModel, string_or_object
from service.sandbox.sessions.tokens import text_tokens

_MAX_INSTRUCTION_TOKENS = 16_384
_MAX_HISTORY_TOKENS = 8_192
_MAX_HISTORY_MESSAGES = 128
_MAX_APPENDED_TOKENS = 500


def _invalid(message: str, **context: object) -> PydanticCustomError:
    return PydanticCustomError("invalid_value", message, context)


class InputText(StrictModel):
    """What a developer or user said before the session."""

    text: str
    type: Literal["input_text"] = "input_text"


class OutputText(StrictModel):
    """What the assistant said before the session."""

    text: str
    type: Literal["text", "output_text"] = "text"


class _Message(StrictModel):
    id: str | None = None
    status: Literal["incomplete", "completed"] | None = None
    type: Literal["message"] = "message"

    @field_validator("content", check_fields=False)
    @classmethod
    def _one_part(cls, content: list[Any]) -> list[Any]:
        if len(content) != 1:
            raise _invalid(
                "A message of the history has exactly one text part, not {count}.", count=len(content)
            )
        return content


class AskedMessage(_Message):
    """A developer's or user's message of the history."""

    role: Literal["developer", "user"]
    content: list[InputText]


class AnsweredMessage(_Message):
    """An assistant's message of the history."""

    role: Literal["assistant"]
    content: list[OutputText]


class CustomVoice(StrictModel):
    """A voice of the customer's own."""

    id: str


class LiveOutput(StrictModel):
    """How the model speaks."""

    voice: (
        Annotated[
            Annotated[str, Tag("string")] | Annotated[CustomVoice, Tag("object")],
            Discriminator(string_or_object),
        ]
        | None
    ) = None


class LiveAudio(StrictModel):
    """WebRTC negotiates the format, so only the voice is left."""

    output: LiveOutput | None = None


class ServerEventSelector(StrictModel):
    """One type of server event that a data channel may carry."""

    type: str
    response_event: str | None = None

    @model_validator(mode="after")
    def _nested_only_in_responses(self) -> ServerEventSelector:
        if (self.type == "response.event") != (self.response_event is not None):
            raise _invalid(
                "'response_event' is required for the type 'response.event', and forbidden elsewhere."
            )
        return self


_ALL = Annotated[Literal["all"], Tag("string")]


class DataChannel(StrictModel):
    """What an untrusted client may send and receive; omitted means everything."""

    allowed_client_events: (
        Annotated[_ALL | Annotated[list[str], Tag("object")], Discriminator(string_or_object)] | None
    ) = None
    allowed_server_events: (
        Annotated[_ALL | Annotated[list[ServerEventSelector], Tag("object")], Discriminator(string_or_object)]
        | None
    ) = None


class LiveClient(StrictModel):
    """What the client at the other end of the connection may do."""

    data_channel: DataChannel


class ClientDelegation(StrictModel):
    """Work is handed to the application."""

    type: Literal["client"]
    acknowledgement_delay_ms: Annotated[int, Field(ge=0)] | None = None


class WakePolicy(StrictModel):
    """Speech ends a pause."""

    type: Literal["speech"]
    vad_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5


class LiveConfig(StrictModel):
    """The ``session`` of ``POST /live/sessions``."""

    model: str
    instructions: str | None = None
    input: list[Annotated[AskedMessage | AnsweredMessage, Field(discriminator="role")]] = Field(default=[])
    audio: LiveAudio | None = None
    client: LiveClient | None = None
    delegation: ClientDelegation | None = None
    triggers: list[Any] = Field(default=[])
    idle_timeout_s: Annotated[int, Field(ge=1)] | None = None
    wake_policy: WakePolicy | None = None
    safety_identifier: str | None = None
    store: bool = False

    @field_validator("instructions")
    @classmethod
    def _bounded(cls, value: str | None) -> str | None:
        if value and text_tokens(value) > _MAX_INSTRUCTION_TOKENS:
            raise _invalid("Instructions have at most {most} tokens.", most=_MAX_INSTRUCTION_TOKENS)
        return value

    @field_validator("input")
    @classmethod
    def _short(cls, value: list[AskedMessage | AnsweredMessage]) -> list[AskedMessage | AnsweredMessage]:
        if len(value) > _MAX_HISTORY_MESSAGES:
            raise _invalid("The history has at most {most} messages.", most=_MAX_HISTORY_MESSAGES)
        if sum(text_tokens(part.text) for one in value for part in one.content) > _MAX_HISTORY_TOKENS:
            raise _invalid("The history has at most {most} tokens.", most=_MAX_HISTORY_TOKENS)
        return value


class WebRtcTransport(StrictModel):
    """The client's offer."""

    type: Literal["webrtc"]
    sdp: str


class LiveOpening(StrictModel):
    """The body of ``POST /live/sessions``."""

    session: LiveConfig
    transport: WebRtcTransport


class _Command(StrictModel):
    event_id: Annotated[str, Field(max_length=512)] | None = None


class LiveChange(StrictModel):
    """What may change while a session runs."""

    delegation: ClientDelegation | None = None
    triggers: list[Any] = Field(default=[])


class SessionUpdate(_Command):
    """Change the session."""

    type: Literal["session.update"]
    session: LiveChange


class Append(_Command):
    """Add to what the model knows, or has to say."""

    type: Literal["session.instructions.append", "session.thinking.append", "session.commentary.append"]
    content: str
    delegation_id: str | None

    @field_validator("content")
    @classmethod
    def _bounded(cls, value: str) -> str:
        if text_tokens(value) > _MAX_APPENDED_TOKENS:
            raise _invalid("'content' has at most {most} tokens.", most=_MAX_APPENDED_TOKENS)
        return value


class Plain(_Command):
    """A command without members of its own."""

    type: Literal["session.input_audio.mute", "session.input_audio.unmute", "session.close"]


class FixturePlay(_Command):
    """Let the assistant's voice play a recording."""

    type: Literal["session.output_audio.fixture.play"]
    audio: str


LIVE_EVENT: TypeAdapter[Any] = TypeAdapter(
    Annotated[SessionUpdate | Append | Plain | FixturePlay, Field(discriminator="type")]
)
"""What a Live session may be sent; its backend models' commands are refused before."""
