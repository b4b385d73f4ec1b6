"""JSON Schema, as far as arguments are made up from it; every other keyword is taken as it comes.

Source: https://json-schema.org/draft/2020-12/json-schema-validation
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(ge=-1e300, le=1e300)]
Count = Annotated[int, Field(ge=0)]


class JsonSchema(BaseModel):
    """A schema that is an object; ``true`` and ``false`` are schemas, too."""

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
