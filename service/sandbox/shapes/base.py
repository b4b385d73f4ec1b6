"""The model that all shapes are made from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class Shape(BaseModel):
    """A JSON object: known members only, and of exactly the type they should have."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def by_kind(value: object) -> str:
    """Tell a union's plain member from its object, so that errors name the one that was meant."""
    return "word" if isinstance(value, str) else "other"


MaxOutputTokens = Annotated[
    Annotated[Literal["inf"], Tag("word")] | Annotated[Annotated[int, Field(ge=1, le=4096)], Tag("other")],
    Discriminator(by_kind),
]
