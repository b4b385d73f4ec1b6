"""The rule about numbers: ranges of what is sent, whoever put it there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import AfterValidator, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from service.core.errors import ServiceError
from service.policy.formatting import session_member
from service.policy.json_path import MISSING, get, put
from service.policy.request import ResolvedRequest
from service.policy.rules import DottedPath, Rule, SourcedRule, StrictModel, not_allowed, split_path

Number = Annotated[float, AfterValidator(lambda number: int(number) if number.is_integer() else number)]
"""Whole where it can be, as people write it and as the vendor wants its token counts."""


class Range(StrictModel):
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

    def __contains__(self, value: object) -> bool:
        """Tell whether a value is a number in the range; ``true`` and ``"inf"`` are not."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        ends = (("at least", self.min), ("at most", self.max))
        return "a number " + " and ".join(f"{word} {end}" for word, end in ends if end is not None)


class Bounds(Rule[dict[DottedPath, Range]]):
    """Ranges of numbers in what is sent, by path."""

    parsed_as = dict[DottedPath, Range]

    def parts(self, source: str) -> Iterator[SourcedRule]:
        for name, limits in self.value.items():
            yield SourcedRule(f"{source}.{name}", Bounds({name: limits}))

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for name, limits in self.value.items():
            value = get(request.session, path := split_path(name))
            if value is not MISSING and value not in limits:
                yield not_allowed(f"'{session_member(path)}' must be {limits} here.", path)

    def clamp(self, request: ResolvedRequest) -> ResolvedRequest:
        """Send the maximum of a conversation's output where the member's absence would mean no limit at all."""
        path = request.layout.output_limit
        limits = self.value.get(".".join(path))
        if (
            request.session_type != "realtime"
            or not limits
            or limits.max is None
            or not request.is_unset(path)
        ):
            return request
        sent = get(request.session, path)  # a wider rule may have put its own maximum there
        if sent is not MISSING and sent <= limits.max:
            return request
        return replace(request, session=put(request.session, path, int(limits.max)))

    def describe(self) -> str:
        return "; ".join(f"{name}: {limits}" for name, limits in self.value.items())
