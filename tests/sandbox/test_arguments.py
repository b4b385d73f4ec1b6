"""Generated function arguments fit the tool's schema, by an independent validator."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.sandbox.sessions.arguments import arguments_for

_SCHEMAS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "anything": {"type": "object", "properties": {"q": True}, "required": ["q", "r"]},
    "no properties": {"type": "object", "additionalProperties": False},
    "text": {
        "type": "object",
        "properties": {"city": {"type": "string", "minLength": 3, "maxLength": 8}},
        "required": ["city"],
    },
    "numbers": {
        "type": "object",
        "properties": {
            "age": {"type": "integer", "minimum": 18, "maximum": 99},
            "cold": {"type": "number", "maximum": -10},
            "step": {"type": "integer", "exclusiveMinimum": 4, "multipleOf": 5},
        },
    },
    "choices": {
        "type": "object",
        "properties": {
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "kind": {"const": "report"},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "either": {"type": ["integer", "null"]},
        },
        "required": ["unit", "kind", "maybe", "either"],
    },
    "nested": {
        "type": "object",
        "properties": {
            "people": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/person"}},
            "when": {"type": "string", "format": "date-time"},
            "sure": {"type": "boolean"},
        },
        "required": ["people", "when", "sure"],
        "$defs": {
            "person": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        },
    },
    "put together": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    "endless": {
        "$ref": "#/$defs/tree",
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
            }
        },
    },
}


def test_a_recursive_schema_ends() -> None:
    """No arguments can fit it, and the sandbox goes on."""
    endless = {"type": "array", "minItems": 1, "items": {"$ref": "#"}}
    assert str(arguments_for(endless, "")).count("[") < 20


@pytest.mark.parametrize("name", _SCHEMAS)
def test_arguments_fit_their_schema(name: str) -> None:
    """For all common keywords."""
    schema = _SCHEMAS[name]
    jsonschema_rs.validator_for(schema).validate(arguments_for(schema, "Paris tomorrow"))


@given(
    st.fixed_dictionaries(
        {"type": st.just("integer"), "minimum": st.integers(-50, 50), "maximum": st.integers(50, 99)},
        optional={"exclusiveMinimum": st.integers(-50, 40), "exclusiveMaximum": st.integers(60, 99)},
    )
)
def test_numbers_keep_their_bounds(schema: dict[str, Any]) -> None:
    """For any bounds that leave room."""
    jsonschema_rs.validator_for(schema).validate(arguments_for(schema, ""))


def test_the_users_words_are_used() -> None:
    """They fill free strings, and select a choice that they mention."""
    schema = {"properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}}}
    assert arguments_for(schema, "Oslo in Fahrenheit") == {"city": "Oslo in Fahrenheit", "unit": "fahrenheit"}
