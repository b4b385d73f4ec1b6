"""JSON as the sandbox reads and writes it (RFC 8259).

What a client sends is bounded in depth: Python copies and writes nested values by recursion, which a few hundred levels
would end in the middle. What it is sent is always UTF-8. Half of a surrogate pair, which JavaScript makes of an emoji
that it cuts in two, has no other form there than its escape.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 200
"""How many levels of objects and lists a document may have."""


def parse(text: str | bytes) -> Any:
    """Read a document of at most ``MAX_DEPTH`` levels, without NaN and Infinity.

    Raises:
        ValueError: it is none.
    """
    try:
        value = _DECODER.decode(text if isinstance(text, str) else text.decode())
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [part for each in level for part in _parts(each)]
        if not level:
            return value
    raise ValueError("is nested too deeply")


def encode(value: Any) -> str:
    """Write a value compactly."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("holds NaN or Infinity")


def _parse_finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("holds a number that reads as Infinity")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_finite)
