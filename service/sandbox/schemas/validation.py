"""Strict models of JSON, and validation errors in the vendor's words."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from service.sandbox.errors import ApiError, invalid_value, missing_parameter


class StrictModel(BaseModel):
    """A JSON object with known members only, each of exactly its type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def string_or_object(value: object) -> str:
    """Discriminate a union of a string and an object, so that an error names the one that was sent."""
    return "string" if isinstance(value, str) else "object"


Name = Annotated[str, Field(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")]
"""What a function, a call of one, or an MCP server may be called."""

MaxOutputTokens = Annotated[
    Annotated[Literal["inf"], Tag("string")] | Annotated[Annotated[int, Field(ge=1, le=4096)], Tag("object")],
    Discriminator(string_or_object),
]

_EXPECTED = {
    "string_type": "a string",
    "bool_type": "a boolean",
    "int_type": "an integer",
    "float_type": "a decimal",
    "finite_number": "a finite number",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "an array",
}

_BOUNDS = {
    "greater_than": ("below_min_value", "below minimum value", ">", "gt"),
    "greater_than_equal": ("below_min_value", "below minimum value", ">=", "ge"),
    "less_than_equal": ("above_max_value", "above maximum value", "<=", "le"),
}

_LENGTHS = {
    "string_too_short": ("string_below_min_length", "too short", "minimum", "min_length"),
    "string_too_long": ("string_above_max_length", "too long", "maximum", "max_length"),
}


def check(schema: TypeAdapter[Any], data: Any, *, root: str = "") -> None:
    """Validate JSON.

    ``root`` is the dotted path of ``data`` itself: the beginning of the error's ``param``.

    Raises:
        ApiError: for the first violation.
    """
    try:
        schema.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _api_error(first, _path(first, data, root=root)) from None


def _path(error: ErrorDetails, data: Any, *, root: str) -> str:
    """Write an error's location as ``session.tools[2].name``, without the tags that pydantic adds for unions.

    A tag is no member, or is followed by one: in a tool ``{"type": "function", "function": {…}}``, the location of
    the missing name is ``function``, ``name``.
    """
    location, path, value, seen = error["loc"], root, data, set[Any]()
    is_missing = error["type"] == "missing"
    for index, step in enumerate(location[:-1] if is_missing else location):
        if isinstance(step, int) and isinstance(value, list):
            path, value, seen = f"{path}[{step}]", value[step], set()
        elif isinstance(value, dict) and step in value:
            is_followed = index < len(location) - 1
            if is_followed and step not in seen and step in ("object", value.get("type"), value.get("role")):
                seen.add(step)
                continue
            path, value, seen = f"{path}.{step}", value[step], set()
    if is_missing:
        path = f"{path}.{location[-1]}"
    return path.lstrip(".")


def _api_error(error: ErrorDetails, path: str) -> ApiError:
    """Translate pydantic's finding into the vendor's error."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    tag = str(context.get("discriminator", "type")).strip("'")
    tag_path = f"{path}.{tag}".lstrip(".")
    match kind:
        case "missing":
            found = missing_parameter(path)
        case "union_tag_not_found" if isinstance(value, dict):
            found = missing_parameter(tag_path)
        case "extra_forbidden":
            found = ApiError(f"Unknown parameter: '{path}'.", code="unknown_parameter", param=path)
        case "literal_error":
            found = _unsupported(value, context["expected"], path)
        case "union_tag_invalid":
            found = _unsupported(context["tag"], context["expected_tags"], tag_path)
        case "missing_one_of":
            found = missing_parameter(f"{path}.{context['first']}", hint=error["msg"])
        case _ if kind in _BOUNDS:
            found = _out_of_bounds(kind, value, context, path)
        case "string_too_short" | "string_too_long" | "string_pattern_mismatch":
            found = _wrong_string(kind, value, context, path)
        case "invalid_value":
            found = invalid_value(error["msg"], path)
        case _:
            found = _wrong_type(kind, value, path)
    return found


def _unsupported(value: Any, expected: str, path: str) -> ApiError:
    supported = _join(re.findall(r"'([^']*)'|(\d+)", expected))
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return _wrong_type("string_type", value, path)
    return invalid_value(f"Invalid value: '{value}'. Supported values are: {supported}.", path)


def _join(found: list[tuple[str, str]]) -> str:
    quoted = [f"'{word}'" if word else number for word, number in found]
    if len(quoted) < 3:  # noqa: PLR2004 - two are joined without a comma
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def _out_of_bounds(kind: str, value: Any, context: dict[str, Any], path: str) -> ApiError:
    code, words, sign, bound = _BOUNDS[kind]
    number = "decimal" if isinstance(value, float) else "integer"
    message = f"Invalid '{path}': {number} {words}. Expected a value {sign} {context[bound]}, but got {value} instead."
    return ApiError(message, code=f"{number}_{code}", param=path)


def _wrong_string(kind: str, value: Any, context: dict[str, Any], path: str) -> ApiError:
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return invalid_value(
            f"Invalid '{path}': string does not match pattern. "
            f"Expected a string that matches the pattern '{pattern}'.",
            path,
        )
    code, words, side, bound = _LENGTHS[kind]
    message = (
        f"Invalid '{path}': string {words}. Expected a string with {side} length {context[bound]}, "
        f"but got a string with length {len(value)} instead."
    )
    return ApiError(message, code=code, param=path)


def _wrong_type(kind: str, value: Any, path: str) -> ApiError:
    expected = _EXPECTED.get(kind, "an object")
    message = f"Invalid type for '{path}': expected {expected}, but got {json_type(value)} instead."
    return ApiError(message, code="invalid_type", param=path or None)


def json_type(value: Any) -> str:
    """Name the JSON type of a value, with its article."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array"}
    return names.get(type(value), "an object")
