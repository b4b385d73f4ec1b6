"""The tools that a model is offered, their JSON Schemas, and the choice between them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from service.sandbox.schemas.validation import Name, StrictModel, string_or_object

Number = Annotated[float, Field(ge=-1e300, le=1e300)]
Count = Annotated[int, Field(ge=0)]


class JsonSchema(BaseModel):
    """A JSON Schema, with the keywords that ``sessions.arguments`` reads; all others are accepted unseen.

    Source: https://json-schema.org/draft/2020-12/json-schema-validation
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    type: str | list[str] = "object"
    ref: str = Field(default="", alias="$ref")
    properties: dict[str, AnySchema] = Field(default={})
    required: list[str] = Field(default=[])
    items: AnySchema = True
    enum: list[Any] = Field(default=[])
    examples: list[Any] = Field(default=[])
    any_of: list[AnySchema] = Field(default=[], alias="anyOf")
    one_of: list[AnySchema] = Field(default=[], alias="oneOf")
    all_of: list[AnySchema] = Field(default=[], alias="allOf")
    minimum: Number = 0
    maximum: Number = 0
    exclusive_minimum: Number = Field(default=0, alias="exclusiveMinimum")
    exclusive_maximum: Number = Field(default=0, alias="exclusiveMaximum")
    multiple_of: Annotated[float, Field(gt=0)] = Field(default=1, alias="multipleOf")
    min_length: Count = Field(default=0, alias="minLength")
    max_length: Count = Field(default=0, alias="maxLength")
    min_items: Count = Field(default=0, alias="minItems")
    format: str = ""


AnySchema = JsonSchema | bool
JsonSchema.model_rebuild()


class FunctionTool(StrictModel):
    """A function that the client can run."""

    type: Literal["function"]
    name: Name
    description: str | None = None
    parameters: JsonSchema | None = None


class McpToolFilter(StrictModel):
    """A choice of an MCP server's tools."""

    read_only: bool | None = None
    tool_names: list[str] | None = None


class McpApprovalFilter(StrictModel):
    """The tools of an MCP server that need an approval, and those that do not."""

    always: McpToolFilter | None = None
    never: McpToolFilter | None = None


class McpTool(StrictModel):
    """A remote MCP server; the sandbox checks its configuration and never calls it."""

    type: Literal["mcp"]
    server_label: Name
    server_url: str | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    server_description: str | None = None
    authorization: str | None = None
    headers: dict[str, str] | None = None
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None
    allowed_tools: list[str] | McpToolFilter | None = None
    require_approval: Literal["always", "never"] | McpApprovalFilter | None = None
    defer_loading: bool | None = None

    @model_validator(mode="after")
    def _require_server(self) -> Self:
        if not (self.server_url or self.connector_id or self.tunnel_id):
            message = "One of 'server_url', 'connector_id' or 'tunnel_id' must be provided."
            raise PydanticCustomError("missing_one_of", message, {"first": "server_url"})
        return self


Tool = Annotated[FunctionTool | McpTool, Field(discriminator="type")]


class FunctionChoice(StrictModel):
    """The one function that the model must call."""

    type: Literal["function"]
    name: Name


class McpChoice(StrictModel):
    """The one remote tool that the model must call."""

    type: Literal["mcp"]
    server_label: Name
    name: str | None = None


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("string")]
    | Annotated[Annotated[FunctionChoice | McpChoice, Field(discriminator="type")], Tag("object")],
    Discriminator(string_or_object),
]
