"""Conversation items that clients create."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from service.sandbox.schemas.validation import Name, StrictModel

ItemId = Annotated[str, Field(min_length=1, max_length=32)]
Status = Literal["completed", "incomplete", "in_progress"]


class InputText(StrictModel):
    """Text of the developer's or the user's."""

    type: Literal["input_text"]
    text: str


class InputAudio(StrictModel):
    """Audio of the user, in base64."""

    type: Literal["input_audio"]
    audio: str
    transcript: str | None = None


class InputImage(StrictModel):
    """An image of the user."""

    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high"] = "auto"


class OutputText(StrictModel):
    """Text of the assistant from an earlier conversation."""

    type: Literal["output_text"]
    text: str


class OutputAudio(StrictModel):
    """Audio of the assistant from an earlier conversation."""

    type: Literal["output_audio"]
    transcript: str | None = None
    audio: str | None = None


class Item(StrictModel):
    """Members that all items share."""

    id: ItemId | None = None
    object: Literal["realtime.item"] = "realtime.item"
    status: Status = "completed"


class SystemMessage(Item):
    """A message of the developer."""

    type: Literal["message"]
    role: Literal["system"]
    content: list[InputText]


class UserMessage(Item):
    """A message of the user."""

    type: Literal["message"]
    role: Literal["user"]
    content: list[Annotated[InputText | InputAudio | InputImage, Field(discriminator="type")]]


class AssistantMessage(Item):
    """A message of the model, written by the client."""

    type: Literal["message"]
    role: Literal["assistant"]
    content: list[Annotated[OutputText | OutputAudio, Field(discriminator="type")]]


class FunctionCall(Item):
    """A function call of the model from an earlier conversation."""

    type: Literal["function_call"]
    name: Name
    arguments: str
    call_id: Name | None = None


class FunctionCallOutput(Item):
    """The result of a function call."""

    type: Literal["function_call_output"]
    call_id: Name
    output: str


class McpListedTool(StrictModel):
    """A tool that an MCP server offers."""

    name: str
    input_schema: Any
    description: str | None = None
    annotations: Any = None


class McpListTools(StrictModel):
    """The tools of an MCP server, as listed in an earlier conversation."""

    type: Literal["mcp_list_tools"]
    id: ItemId | None = None
    server_label: str
    tools: list[McpListedTool]


class McpCall(StrictModel):
    """A call of an MCP server's tool from an earlier conversation."""

    type: Literal["mcp_call"]
    id: ItemId | None = None
    server_label: str
    name: str
    arguments: str
    approval_request_id: str | None = None
    output: str | None = None
    error: dict[str, Any] | None = None


class McpApprovalRequest(StrictModel):
    """The model's request to call an MCP server's tool, from an earlier conversation."""

    type: Literal["mcp_approval_request"]
    id: ItemId | None = None
    server_label: str
    name: str
    arguments: str


class McpApprovalResponse(StrictModel):
    """The client's answer to a request for approval."""

    type: Literal["mcp_approval_response"]
    id: ItemId | None = None
    approval_request_id: str
    approve: bool
    reason: str | None = None


class ItemReference(StrictModel):
    """A reference to an item of the conversation."""

    type: Literal["item_reference"]
    id: ItemId


_Message = Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]
_Mcp = McpListTools | McpCall | McpApprovalRequest | McpApprovalResponse
NewItem = Annotated[_Message | FunctionCall | FunctionCallOutput | _Mcp, Field(discriminator="type")]
ContextItem = Annotated[
    _Message | FunctionCall | FunctionCallOutput | _Mcp | ItemReference, Field(discriminator="type")
]
