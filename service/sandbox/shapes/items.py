"""The items of a conversation as clients create them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from service.sandbox.shapes.base import Shape

ItemId = Annotated[str, Field(min_length=1, max_length=32)]
Status = Literal["completed", "incomplete", "in_progress"]


class SystemContent(Shape):
    """What the developer says."""

    type: Literal["input_text"]
    text: str


class InputAudio(Shape):
    """What the user said aloud."""

    type: Literal["input_audio"]
    audio: str
    transcript: str | None = None


class InputImage(Shape):
    """What the user shows."""

    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high"] = "auto"


class OutputText(Shape):
    """What the assistant wrote earlier."""

    type: Literal["output_text"]
    text: str


class OutputAudio(Shape):
    """What the assistant said earlier."""

    type: Literal["output_audio"]
    transcript: str | None = None
    audio: str | None = None


class Item(Shape):
    """What all items may carry."""

    id: ItemId | None = None
    object: Literal["realtime.item"] = "realtime.item"
    status: Status = "completed"


class SystemMessage(Item):
    """A message of the developer's."""

    type: Literal["message"]
    role: Literal["system"]
    content: list[SystemContent]


class UserMessage(Item):
    """A message of the user's."""

    type: Literal["message"]
    role: Literal["user"]
    content: list[Annotated[SystemContent | InputAudio | InputImage, Field(discriminator="type")]]


class AssistantMessage(Item):
    """A message of the model's, put into its mouth."""

    type: Literal["message"]
    role: Literal["assistant"]
    content: list[Annotated[OutputText | OutputAudio, Field(discriminator="type")]]


class FunctionCall(Item):
    """A call that the model made earlier."""

    type: Literal["function_call"]
    name: str
    arguments: str
    call_id: str | None = None


class FunctionCallOutput(Item):
    """What a function that the model called came back with."""

    type: Literal["function_call_output"]
    call_id: str
    output: str


class ItemReference(Shape):
    """An item of the conversation, by its id."""

    type: Literal["item_reference"]
    id: ItemId


_Message = Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]
NewItem = Annotated[_Message | FunctionCall | FunctionCallOutput, Field(discriminator="type")]
ContextItem = Annotated[
    _Message | FunctionCall | FunctionCallOutput | ItemReference, Field(discriminator="type")
]
