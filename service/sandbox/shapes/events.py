"""Client events as the vendor takes them, for conversations, transcriptions and translations.

Source: https://platform.openai.com/docs/api-reference/realtime-client-events
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from service.sandbox.shapes.audio import Format, Voice
from service.sandbox.shapes.base import Shape
from service.sandbox.shapes.items import ContextItem, NewItem
from service.sandbox.shapes.session import Generation, Session, TranslationUpdate


class ResponseOutput(Shape):
    """How one response sounds."""

    format: Format | None = None
    voice: Voice | None = None


class ResponseAudio(Shape):
    """How one response sounds."""

    output: ResponseOutput | None = None


class ResponseParams(Generation):
    """What one response does differently from its session."""

    audio: ResponseAudio | None = None
    conversation: Literal["auto", "none"] = "auto"
    input: list[ContextItem] | None = None
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = None


class ClientEvent(Shape):
    """What all client events may carry."""

    event_id: Annotated[str, Field(max_length=512)] | None = None


class SessionUpdate(ClientEvent):
    """Change the session."""

    type: Literal["session.update"]
    session: Session


class AudioAppend(ClientEvent):
    """Append audio to the input buffer."""

    type: Literal["input_audio_buffer.append"]
    audio: str


class AudioCommit(ClientEvent):
    """Make the input buffer a message."""

    type: Literal["input_audio_buffer.commit"]


class AudioClear(ClientEvent):
    """Forget the input buffer."""

    type: Literal["input_audio_buffer.clear"]


class OutputClear(ClientEvent):
    """Stop the audio that WebRTC still plays."""

    type: Literal["output_audio_buffer.clear"]


class ItemCreate(ClientEvent):
    """Put an item into the conversation."""

    type: Literal["conversation.item.create"]
    item: NewItem
    previous_item_id: str | None = None


class ItemRetrieve(ClientEvent):
    """Read an item back, with its audio."""

    type: Literal["conversation.item.retrieve"]
    item_id: str


class ItemTruncate(ClientEvent):
    """Forget what the user did not hear of an answer."""

    type: Literal["conversation.item.truncate"]
    item_id: str
    content_index: Annotated[int, Field(ge=0)]
    audio_end_ms: Annotated[int, Field(ge=0)]


class ItemDelete(ClientEvent):
    """Take an item out of the conversation."""

    type: Literal["conversation.item.delete"]
    item_id: str


class ResponseCreate(ClientEvent):
    """Ask the model for an answer."""

    type: Literal["response.create"]
    response: ResponseParams | None = None


class ResponseCancel(ClientEvent):
    """Stop an answer."""

    type: Literal["response.cancel"]
    response_id: str | None = None


class TranslationSessionUpdate(ClientEvent):
    """Change a translation."""

    type: Literal["session.update"]
    session: TranslationUpdate


class TranslationAppend(ClientEvent):
    """Append audio to be translated."""

    type: Literal["session.input_audio_buffer.append"]
    audio: str


class TranslationClose(ClientEvent):
    """End a translation."""

    type: Literal["session.close"]


CONVERSATION_EVENT: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        SessionUpdate
        | AudioAppend
        | AudioCommit
        | AudioClear
        | OutputClear
        | ItemCreate
        | ItemRetrieve
        | ItemTruncate
        | ItemDelete
        | ResponseCreate
        | ResponseCancel,
        Field(discriminator="type"),
    ]
)
"""What a conversation may be sent."""

TRANSLATION_EVENT: TypeAdapter[Any] = TypeAdapter(
    Annotated[TranslationSessionUpdate | TranslationAppend | TranslationClose, Field(discriminator="type")]
)
"""What a translation may be sent."""
