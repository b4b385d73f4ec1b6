"""The tools a model is offered, and which of them it must use."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from service.sandbox.shapes.base import Shape, by_kind
from service.sandbox.shapes.json_schema import JsonSchema


class FunctionTool(Shape):
    """A function that the client offers to run."""

    type: Literal["function"]
    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: str | None = None
    parameters: JsonSchema | None = None


class McpTool(BaseModel):
    """A remote tool server; the sandbox takes its configuration and never calls it."""

    model_config = ConfigDict(strict=True, frozen=True)

    type: Literal["mcp"]
    server_label: str


Tool = Annotated[FunctionTool | McpTool, Field(discriminator="type")]


class FunctionChoice(Shape):
    """The one function the model must call."""

    type: Literal["function"]
    name: str


class McpChoice(Shape):
    """The one remote tool the model must call."""

    type: Literal["mcp"]
    server_label: str
    name: str | None = None


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("word")]
    | Annotated[Annotated[FunctionChoice | McpChoice, Field(discriminator="type")], Tag("other")],
    Discriminator(by_kind),
]
