"""Read and write JSON, strictly and fast."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, NoReturn

from pydantic_core import from_json, to_json


def parse_object(data: bytes, *, unique_members: bool = True) -> dict[str, Any]:
    """Read one JSON object in UTF-8.

    ``NaN`` and ``Infinity``, spelled ``1e999`` too (RFC 8259 §6), and encodings other than UTF-8 (RFC 8725 §2.6, §3.7),
    which ``json.loads`` takes, are refused. So are duplicate members (RFC 7515 §4, RFC 7519 §4), unless
    ``unique_members`` is false: then the last one counts, and the faster parser reads, which refuses lone surrogates
    and more than 200 levels, too.

    Raises:
        ValueError: saying what is wrong, as the end of a sentence that names the document.
    """
    if unique_members:
        value = _parse_strictly(data)
    else:
        try:
            value = from_json(data, allow_inf_nan=False)
        except ValueError as error:
            raise ValueError(f"is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - a wrong value, as every other here
    return value


def encode_object(value: Mapping[str, Any]) -> bytes:
    """Write a JSON object compactly, in UTF-8, its members in their order."""
    return to_json(value)


def _parse_strictly(data: bytes) -> Any:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise ValueError("is not JSON") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


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


# json.loads would make one for every document, at half the cost of reading it.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_constant=_refuse_constant, parse_float=_parse_finite
)
