"""Arguments for a function call, generated to fit the tool's JSON Schema.

Supported are objects, arrays, the plain types with their bounds, ``enum``,
``const``, ``default``, ``examples``, local ``$ref`` and the first branch of a choice. A ``pattern`` is ignored.
"""

from __future__ import annotations

import math
from typing import Any

Schema = dict[str, Any]

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

_MAX_DEPTH = 8
"""Optional properties end at this depth of a recursive schema, required ones at twice the depth."""

_MAX_ITEMS, _MAX_CHARACTERS = 100, 10_000
"""A schema that asks for more gets these."""


def arguments_for(schema: Schema | None, said: str) -> Any:
    """Generate arguments.

    ``schema`` is the tool's ``parameters``, validated before as a ``schemas.tools.JsonSchema``. ``said`` is what the
    user said after the tool's name; it fills strings without other constraints.
    """
    return _Filler(schema or {}, said).fill(schema or {}, "value", 0)


class _Filler:
    """Generates values for the schemas below ``root``, in which references are looked up."""

    def __init__(self, root: Schema, said: str) -> None:
        self._root = root
        self._said = said

    def fill(self, schema: Schema | bool, name: str, depth: int) -> Any:  # noqa: FBT001 - true is a schema
        """Generate one value; ``name`` is its property's name."""
        if depth > 2 * _MAX_DEPTH:
            return None
        if isinstance(schema, bool):
            return self._said or name
        schema = self._resolve(schema)
        for given in ("const", "default"):
            if given in schema:
                return schema[given]
        for listed in ("enum", "examples"):
            if schema.get(listed):
                mentioned = (
                    v for v in schema[listed] if isinstance(v, str) and v and v.lower() in self._said.lower()
                )
                return next(mentioned, schema[listed][0])
        kind = schema.get("type", "array" if "items" in schema else "object")
        return self._plain(kind if isinstance(kind, str) else next(iter(kind), "object"), schema, name, depth)

    def _plain(self, kind: str, schema: Schema, name: str, depth: int) -> Any:
        """Generate a value of a JSON type within the bounds that the schema sets for it."""
        match kind:
            case "array":
                length = max(schema.get("minItems", 0), 0 if depth >= _MAX_DEPTH else 1)
                item = schema.get("items", True)
                return [self.fill(item, name, depth + 1) for _ in range(min(length, _MAX_ITEMS))]
            case "string":
                text = str(_FORMATS.get(schema.get("format", ""), self._said or name))
                text = text.ljust(min(schema.get("minLength", 0), _MAX_CHARACTERS), ".")
                return text[: schema.get("maxLength", len(text))]
            case "integer":
                return math.ceil(_nearest_to_one(schema, step=1))
            case "number":
                return _nearest_to_one(schema, step=0.5)
            case "boolean" | "null":
                return True if kind == "boolean" else None
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        wanted = required if depth >= _MAX_DEPTH else schema.get("required", list(properties))
        return {name: self.fill(properties.get(name, True), name, depth + 1) for name in wanted}

    def _resolve(self, schema: Schema) -> Schema:
        """Follow references and choices until a plain schema remains."""
        for _ in range(_MAX_DEPTH):
            choice = next((schema[word] for word in ("anyOf", "oneOf") if schema.get(word)), None)
            if "$ref" in schema:
                found: Any = self._root
                for step in schema["$ref"].removeprefix("#").split("/"):
                    found = found.get(step, {}) if step and isinstance(found, dict) else found
                schema = _as_object(found)
            elif choice:
                rest = {name: value for name, value in schema.items() if name not in {"anyOf", "oneOf"}}
                schema = rest | _as_object(choice[0])
            elif schema.get("allOf"):
                schema = _merge_branches(schema)
            else:
                break
        return schema


def _as_object(schema: Any) -> Schema:
    return schema if isinstance(schema, dict) else {}


def _nearest_to_one(schema: Schema, *, step: float) -> float:
    """Return 1 if the bounds allow it, else the nearest allowed number."""
    low = schema.get("minimum", -math.inf)
    if "exclusiveMinimum" in schema:
        low = max(low, schema["exclusiveMinimum"] + step)
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - step)
    value: float = min(max(1, low), high)
    factor = schema.get("multipleOf", 0)
    steps = value / factor if factor else math.inf
    return math.ceil(steps) * factor if math.isfinite(steps) else value


def _merge_branches(schema: Schema) -> Schema:
    """Merge the branches of ``allOf`` that are objects."""
    merged = {name: value for name, value in schema.items() if name != "allOf"}
    for branch in map(_as_object, schema["allOf"]):
        properties = {**merged.get("properties", {}), **branch.get("properties", {})}
        required = [*merged.get("required", []), *branch.get("required", [])]
        merged = {**merged, **branch, "properties": properties, "required": required}
    return merged
