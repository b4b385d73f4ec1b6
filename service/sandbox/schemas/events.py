"""Client events of conversations, transcriptions and translations.

Source: https://platform.openai.com/docs/api-reference/realtime-client-events
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from service.sandbox.schemas.audio import Format, Voice
from service.sandbox.schemas.items import ContextItem, NewItem
from service.sandbox.schemas.session import AnySession, Generation, TranslationUpdate
from service.sandbox.schemas.validation import StrictModel


class ResponseOutput(StrictModel):
    """Output audio settings of one response."""

    format: Format | None = None
    voice: Voice | None = None


class ResponseAudio(StrictModel):
    """Audio settings of one response."""

    output: ResponseOutput | None = None


class ResponseParams(Generation):
    """Settings of one response, which override those of its session."""

    audio: ResponseAudio | None = None
    conversation: Literal["auto", "none"] = "auto"
    input: list[ContextItem] | None = None
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = None


class ClientEvent(StrictModel):
    """Members that all client events share."""

    event_id: Annotated[str, Field(max_length=512)] | None = None


class SessionUpdate(ClientEvent):
    """Change the session's configuration."""

    type: Literal["session.update"]
    session: AnySession


class AudioAppend(ClientEvent):
    """Append audio to the input buffer."""

    type: Literal["input_audio_buffer.append"]
    audio: str


class AudioCommit(ClientEvent):
    """Turn the input buffer into a user message."""

    type: Literal["input_audio_buffer.commit"]


class AudioClear(ClientEvent):
    """Empty the input buffer."""

    type: Literal["input_audio_buffer.clear"]


class OutputClear(ClientEvent):
    """Stop the audio that is playing (WebRTC and SIP only)."""

    type: Literal["output_audio_buffer.clear"]


class ItemCreate(ClientEvent):
    """Add an item to the conversation."""

    type: Literal["conversation.item.create"]
    item: NewItem
    previous_item_id: str | None = None


class ItemRetrieve(ClientEvent):
    """Read an item with its audio."""

    type: Literal["conversation.item.retrieve"]
    item_id: str


class ItemTruncate(ClientEvent):
    """Cut the part of a spoken answer that the user did not hear."""

    type: Literal["conversation.item.truncate"]
    item_id: str
    content_index: Annotated[int, Field(ge=0)]
    audio_end_ms: Annotated[int, Field(ge=0)]


class ItemDelete(ClientEvent):
    """Delete an item."""

    type: Literal["conversation.item.delete"]
    item_id: str


class ResponseCreate(ClientEvent):
    """Ask for a response."""

    type: Literal["response.create"]
    response: ResponseParams | None = None


class ResponseCancel(ClientEvent):
    """Cancel a response."""

    type: Literal["response.cancel"]
    response_id: str | None = None


class TranslationSessionUpdate(ClientEvent):
    """Change a translation's configuration."""

    type: Literal["session.update"]
    session: TranslationUpdate


class TranslationAppend(ClientEvent):
    """Append audio to be translated."""

    type: Literal["session.input_audio_buffer.append"]
    audio: str


class TranslationClose(ClientEvent):
    """End a translation."""

    type: Literal["session.close"]


ConversationEvent = Annotated[
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
"""All events that a client may send to a conversation or a transcription."""

TranslationEvent = Annotated[
    TranslationSessionUpdate | TranslationAppend | TranslationClose, Field(discriminator="type")
]
"""All events that a client may send to a translation."""

CONVERSATION_EVENT: TypeAdapter[Any] = TypeAdapter(ConversationEvent)
TRANSLATION_EVENT: TypeAdapter[Any] = TypeAdapter(TranslationEvent)
