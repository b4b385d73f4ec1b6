"""Checking JSON against a shape, and saying what is wrong in the vendor's words."""

from __future__ import annotations

import re
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from service.sandbox.refusal import Refusal, missing

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


def check(shape: TypeAdapter[Any], data: Any, *, root: str = "") -> None:
    """Hold JSON against a shape.

    ``root`` is the dotted path of ``data`` itself, for ``param``.

    Raises:
        Refusal: for the first thing that is wrong.
    """
    try:
        shape.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _refusal(first, _path(first, data, root=root)) from None


def _path(error: ErrorDetails, data: Any, *, root: str) -> str:
    """Spell an error's place as ``session.tools[2].name``; the tags that unions add to it are no members."""
    place, spelled, here = error["loc"], root, data
    is_missing = error["type"] == "missing"
    for step in place[:-1] if is_missing else place:
        if isinstance(step, int) and isinstance(here, list):
            spelled, here = f"{spelled}[{step}]", here[step]
        elif isinstance(here, dict) and step in here:
            spelled, here = f"{spelled}.{step}", here[step]
    if is_missing:
        spelled = f"{spelled}.{place[-1]}"
    return spelled.lstrip(".")


def _refusal(error: ErrorDetails, path: str) -> Refusal:
    """Say what pydantic found in the vendor's words."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    tag = str(context.get("discriminator", "type")).strip("'")
    tag_path = f"{path}.{tag}".lstrip(".")
    match kind:
        case "missing":
            refusal = missing(path)
        case "union_tag_not_found" if isinstance(value, dict):
            refusal = missing(tag_path)
        case "extra_forbidden":
            refusal = Refusal(f"Unknown parameter: '{path}'.", code="unknown_parameter", param=path)
        case "literal_error":
            refusal = _unsupported(value, context["expected"], path)
        case "union_tag_invalid":
            refusal = _unsupported(context["tag"], context["expected_tags"], tag_path)
        case _ if kind in _BOUNDS:
            refusal = _out_of_bounds(kind, value, context, path)
        case _ if kind in _LENGTHS:
            refusal = _wrong_length(kind, value, context, path)
        case "invalid_value":
            refusal = Refusal(error["msg"], code="invalid_value", param=path)
        case _:
            refusal = _wrong_type(kind, value, path)
    return refusal


def _unsupported(value: Any, expected: str, path: str) -> Refusal:
    supported = _listed(re.findall(r"'([^']*)'|(\d+)", expected))
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return _wrong_type("string_type", value, path)
    message = f"Invalid value: '{value}'. Supported values are: {supported}."
    return Refusal(message, code="invalid_value", param=path)


def _listed(found: list[tuple[str, str]]) -> str:
    quoted = [f"'{word}'" if word else number for word, number in found]
    if len(quoted) < 3:  # noqa: PLR2004 - two are joined without a comma
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def _out_of_bounds(kind: str, value: Any, context: dict[str, Any], path: str) -> Refusal:
    code, words, sign, bound = _BOUNDS[kind]
    number = "decimal" if isinstance(value, float) else "integer"
    message = f"Invalid '{path}': {number} {words}. Expected a value {sign} {context[bound]}, but got {value} instead."
    return Refusal(message, code=f"{number}_{code}", param=path)


def _wrong_length(kind: str, value: Any, context: dict[str, Any], path: str) -> Refusal:
    code, words, side, bound = _LENGTHS[kind]
    message = (
        f"Invalid '{path}': string {words}. Expected a string with {side} length {context[bound]}, "
        f"but got a string with length {len(value)} instead."
    )
    return Refusal(message, code=code, param=path)


def _wrong_type(kind: str, value: Any, path: str) -> Refusal:
    expected = _EXPECTED.get(kind, "an object")
    message = f"Invalid type for '{path}': expected {expected}, but got {named(value)} instead."
    return Refusal(message, code="invalid_type", param=path or None)


def named(value: Any) -> str:
    """Name a JSON value's type, with its article."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array"}
    return names.get(type(value), "an object")
