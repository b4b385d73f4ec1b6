"""The kinds of members that request bodies have."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, JsonValue
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from service.vendors.wire import MIN_SECRET_TTL

T = TypeVar("T")


class _Given:
    """Marks a member that may be left out but may not be null, in validation and in the JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._refuse_null, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        without_null: dict[str, Any] = handler(core)["anyOf"][0]
        return without_null

    @staticmethod
    def _refuse_null(value: T) -> T:
        if value is None:
            raise ValueError("null")
        return value


Optional = Annotated[T | None, _Given()]


def drop_null_defaults(schema: dict[str, Any]) -> None:
    """Leave ``"default": null`` out of a JSON Schema: a member may be left out, and may not be null."""
    for member in schema["properties"].values():
        if "default" in member and member["default"] is None:
            del member["default"]


Name = Annotated[str, Field(min_length=1, max_length=256)]

Session = Annotated[
    dict[str, JsonValue],
    Field(description="The session's configuration, in the vendor's own shape."),
]


def _whole(value: Any) -> Any:
    """Take 60.0 for 60: JSON has one kind of number, and JSON Schema calls both an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Seconds = Annotated[int, Field(ge=MIN_SECRET_TTL), BeforeValidator(_whole)]
