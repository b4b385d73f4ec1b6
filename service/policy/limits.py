"""Limits as the policy document writes them: what callers may have, for everybody or by claim.

The descriptions are the documentation: ``python -m service policy --schema`` prints them.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from service.core.model import SessionType
from service.vendors.wire import MAX_SECRET_TTL, MIN_SECRET_TTL


def _inside_the_session(path: str) -> str:
    if path.startswith("session."):
        raise ValueError(f"paths begin inside the session: write {path.removeprefix('session.')}")
    return path


def _claim_values(value: Any) -> tuple[Any, ...]:
    """Take one value or a list of them. Checked here, since a union's errors are no sentence."""
    values = tuple(value) if isinstance(value, list) else (value,)
    if not values or not all(isinstance(one, str | int) for one in values):
        raise ValueError("must be text, a whole number, true or false, or a list of such values")
    return values


Name = Annotated[str, Field(min_length=1, max_length=256)]
Names = tuple[Name, ...]
Seconds = Annotated[int, Field(ge=MIN_SECRET_TTL, le=MAX_SECRET_TTL)]
DottedPath = Annotated[
    str,
    Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$", examples=["audio.output.voice"]),
    AfterValidator(_inside_the_session),
]
Number = Annotated[float, AfterValidator(lambda number: int(number) if number.is_integer() else number)]
"""Whole where it can be, as people write it and as the vendor wants its token counts."""

Scalar = str | int | bool
ClaimValues = Annotated[
    tuple[Scalar, ...],
    BeforeValidator(
        _claim_values, json_schema_input_type=Scalar | Annotated[list[Scalar], Field(min_length=1)]
    ),
]
Conditions = dict[Name, ClaimValues]


class Part(BaseModel):
    """A part of the document: every member known, none converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Fields(Part):
    """Which members of the session a caller may set, each with all below it."""

    allow: tuple[DottedPath, ...] | None = Field(None, description="These and no others.")
    deny: tuple[DottedPath, ...] | None = Field(None, description="None of these.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.allow is None and self.deny is None:
            raise ValueError('needs "allow" or "deny", a list of paths')
        return self


class Range(Part):
    """The range of a number; a bare number is its maximum."""

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_number(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"max": value} if is_number else value

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError('needs "max" or "min", a number')
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError('"min" is above "max", so no value would do')
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Publish the bare number too."""
        schema = handler(core)
        return {"anyOf": [{"type": "number"}, handler.resolve_ref_schema(schema)]}


class Limits(Part):
    """What callers may have. What is left out is not limited."""

    types: tuple[SessionType, ...] | None = Field(None, description="Types of session that may be opened.")
    models: Names | None = Field(None, description="Models, beside `ALLOWED_MODELS`, which always holds.")
    max_expires_in: Seconds | None = Field(None, description="The longest life of a secret, in seconds.")
    profile_required: bool = Field(default=False, description="Whether a caller must name a profile.")
    fields: Fields | None = None
    bounds: dict[DottedPath, Range] = Field(
        default_factory=dict,
        json_schema_extra={"additionalProperties": False},
        description="Ranges of numbers in what is sent, by path: `max_output_tokens`.",
    )
    voices: Names | None = Field(None, description="Voices that a caller may choose.")
    tools: Names | None = Field(None, description="Functions that a caller may bring, by name.")
    mcp: Names | None = Field(
        None,
        description="Remote MCP servers that a caller may bring: URL, connector or tunnel id. None unless listed.",
    )
    prompts: Names | None = Field(
        None, description="Stored prompts that a caller may use, by id. None unless listed."
    )
    tracing: bool | None = Field(None, description="Whether a caller may set `tracing`. Not unless true.")
