"""Dotted paths into JSON objects: ``audio.output.voice`` is the path ``("audio", "output", "voice")``.

Objects are never changed in place: whatever differs is a new object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Path = tuple[str, ...]
"""A tuple, so that a member whose name holds a dot is never taken for two."""


class Missing:
    """The type of ``MISSING``: nothing is there, which is not the same as null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


def dotted(path: Path) -> str:
    """Write a path as people do."""
    return ".".join(path)


def get(value: Any, path: Path) -> Any:
    """Return what lies at a path, or ``MISSING``."""
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


def put(tree: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Return ``tree`` with ``value`` at a path; objects on the way are made where there are none.

    Raises:
        TypeError: where something other than an object lies on the way; its argument is that path.
    """
    name, *rest = path
    if rest:
        inner = tree.get(name, {})
        if not isinstance(inner, dict):
            raise TypeError((name,))
        try:
            value = put(inner, tuple(rest), value)
        except TypeError as error:
            raise TypeError((name, *error.args[0])) from None
    return {**tree, name: value}


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one object over another: objects member by member, anything else (lists too) as a whole."""
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[name] = merge(below, value) if both else value  # type: ignore[arg-type]  # both are dicts
    return merged


def leaves(tree: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """List every value that is no object with members, with its path."""
    for name, value in tree.items():
        path = (*above, name)
        if isinstance(value, dict) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def within(path: Path, outer: Path) -> bool:
    """Tell whether a path is ``outer`` or lies below it."""
    return path[: len(outer)] == outer


def overlap(one: Path, other: Path) -> bool:
    """Tell whether setting one path touches the other: they are equal, or one lies below the other."""
    return within(one, other) or within(other, one)


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same JSON, where Python takes 1, 1.0 and true for equal."""
    if one is MISSING or other is MISSING:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
