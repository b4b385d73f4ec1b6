"""Reading a policy document: from text to JSON, and what is wrong with it in words that its author can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

_MESSAGES = {
    "missing": "is missing",
    "dict_type": 'must be an object, as {"name": …}',
    "model_type": 'must be an object, as {"name": …}',
    "model_attributes_type": 'must be an object, as {"name": …}',
    "tuple_type": 'must be a list, as ["one", "two"]',
    "string_type": 'must be text in quotes, as "name"',
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false, without quotes",
    "string_pattern_mismatch": "must be a path into the session, as audio.output.voice",
    "finite_number": "must be a number that is not infinite",
}


class PolicyError(ValueError):
    """A policy document that cannot be used; ``problems`` has a sentence for each thing to fix."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        several = f"has {len(problems)} problems:"
        super().__init__(problems[0] if len(problems) == 1 else "\n    - ".join([several, *problems]))


def read_json(text_or_path: str) -> Any:
    """Read JSON given inline (it begins with a brace) or as a file's path; no member may be given twice.

    Raises:
        PolicyError: saying where the text stops to be JSON.
    """
    text = text_or_path.strip()
    if not text.startswith("{"):
        text = _read_file(text)
    try:
        return json.loads(
            text, object_pairs_hook=_unique_members, parse_float=_finite, parse_constant=_no_number
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        message = f"is not valid JSON at {where}: {error.msg[:1].lower()}{error.msg[1:]}"
        raise PolicyError([f"{message} (a comma or a quote too many or too few?)"]) from None
    except RecursionError:
        raise PolicyError(["is nested too deeply to be a policy"]) from None


def _read_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        # The text is not repeated: JSON that lost its first brace may hold credentials.
        seen = f"is neither JSON, which begins with a brace, nor the path of a file that can be read ({why})"
        raise PolicyError([f"{seen}; write the policy itself in JSON, or the path of its file"]) from None


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise PolicyError([f'gives "{name}" twice in one object; only one of them can count'])
        members[name] = value
    return members


def _finite(text: str) -> float:
    return float(text) if isfinite(float(text)) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise PolicyError([f"holds {text[:20]}, which is no number that JSON can carry"])


def describe_errors(error: ValidationError, schema: Mapping[str, Any]) -> list[str]:
    """Put each problem that validation found into a sentence: where, what, and what would be right."""
    problems = []
    for detail in error.errors(include_url=False, include_input=False):
        *parents, last = detail["loc"] or ("",)
        if detail["type"] == "extra_forbidden":
            message = _unknown(str(last), _members(schema, parents))
        elif detail["type"] == "literal_error":
            message = f"must be {detail['ctx']['expected']}"
        elif detail["type"] == "value_error":
            message = str(detail["ctx"]["error"])
        else:
            message = _MESSAGES.get(detail["type"]) or detail["msg"].replace("Input should", "must")
        problems.append(f"{_place(detail['loc'])}{message}")
    return problems


def _place(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            text += f".{part}"
    return f"{text.removeprefix('.')}: " if text else ""


def _unknown(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    if close:
        return f'is not known here; did you mean "{close[0]}"?'
    return f"is not known here; the allowed members are {', '.join(known)}"


def _members(schema: Mapping[str, Any], location: Sequence[int | str]) -> list[str]:
    """Follow a place in the document through its JSON Schema, and list the members it may have."""
    here = schema
    for part in location:
        inner = here.get("items") if isinstance(part, int) else here.get("properties", {}).get(part)
        named_freely = [*here.get("patternProperties", {}).values(), here.get("additionalProperties") or {}]
        here = _resolve(inner or named_freely[0], schema)
    return list(here.get("properties", {}))


def _resolve(here: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Pass references, and of alternatives take the one that is an object or a list."""
    while True:
        if "$ref" in here:
            here = schema["$defs"][here["$ref"].rpartition("/")[2]]
        elif "anyOf" in here:
            here = next((one for one in here["anyOf"] if one.get("type") in {None, "object", "array"}), {})
        else:
            return here
