"""JSON read without the leniencies that make two parsers see two different tokens."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn


def parse_object(data: bytes) -> dict[str, Any]:
    """Read one JSON object in UTF-8.

    Duplicate members (RFC 7515 §4, RFC 7519 §4), ``NaN`` and ``Infinity``, spelled ``1e999`` too (RFC 8259 §6),
    and encodings other than UTF-8 (RFC 8725 §2.6, §3.7), all of which ``json.loads`` takes, are refused.

    Raises:
        ValueError: saying which of them it was.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError:
        raise ValueError("is not JSON") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - a wrong value, as every other here
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("has a duplicate member")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("holds NaN or Infinity")


def _parse_finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("holds a number beyond what a double can hold, which reads as Infinity")
    return number


# Made once: json.loads would make one for every token, at half the cost of reading it.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_constant=_refuse_constant, parse_float=_parse_finite
)
