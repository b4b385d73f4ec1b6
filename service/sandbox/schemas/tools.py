"""The tools that a model is offered, their JSON Schemas, and the choice between them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from service.sandbox.schemas.validation import StrictModel, string_or_object

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
    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: str | None = None
    parameters: JsonSchema | None = None


class McpTool(BaseModel):
    """A remote MCP server; the sandbox checks its configuration and never calls it."""

    model_config = ConfigDict(strict=True, frozen=True)

    type: Literal["mcp"]
    server_label: str


Tool = Annotated[FunctionTool | McpTool, Field(discriminator="type")]


class FunctionChoice(StrictModel):
    """The one function that the model must call."""

    type: Literal["function"]
    name: str


class McpChoice(StrictModel):
    """The one remote tool that the model must call."""

    type: Literal["mcp"]
    server_label: str
    name: str | None = None


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("string")]
    | Annotated[Annotated[FunctionChoice | McpChoice, Field(discriminator="type")], Tag("object")],
    Discriminator(string_or_object),
]
