"""Paths into JSON objects, sets of such paths, and how paths and values read in messages.

The path ``audio.output.voice`` is ``("audio", "output", "voice")``.
Objects are never changed in place: whatever differs is a new object. Everything here takes time in
proportion to its inputs' size, never to the product of two of them, since one of them is a caller's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

Path = tuple[str, ...]
"""A tuple, so that a member whose name holds a dot is never taken for two."""

PathTree = dict[str, "PathTree | None"]
"""A set of paths, by their first member; ``None`` where a path of the set ends."""


MISSING: Final[Any] = object()
"""No value, which differs from null."""

_MAX_SNIPPET: Final = 80
_MAX_MEMBER: Final = 200
_MAX_NAMES: Final = 20


def get(value: Any, path: Path) -> Any:
    """Return the value at a path, or ``MISSING``."""
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


def put(tree: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Return ``tree`` with ``value`` at a path; missing objects on the way are created.

    Raises:
        TypeError: where a value on the way is not an object; its argument is the path of that value.
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
    """Return ``under`` overridden by ``over``: objects member by member, other values (lists too) as a whole."""
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[name] = merge(below, value) if both else value  # type: ignore[arg-type]  # both are dicts
    return merged


def canonical(value: Any) -> str:
    """Write a value as text that is equal for the same JSON only: Python takes 1, 1.0 and true for equal."""
    return _ENCODER.encode(value)


# Made once: json.dumps would make one for every value, at twice the cost of writing a small one.
_ENCODER = json.JSONEncoder(sort_keys=True)


def differences(given: Mapping[str, Any], base: Any) -> PathTree:
    """Find where ``merge(base, given)`` differs from ``base``, as paths of ``given``'s values."""
    changed: PathTree = {}
    for name, value in given.items():
        below = base.get(name, MISSING) if isinstance(base, dict) else MISSING
        if isinstance(value, dict) and value:
            if inner := differences(value, below):
                changed[name] = inner
        elif value == {} and isinstance(below, dict):
            continue  # merging an empty object into an object adds nothing
        elif below is MISSING or canonical(value) != canonical(below):
            changed[name] = None
    return changed


def path_tree(paths: Iterable[Path]) -> PathTree:
    """Build the set of these paths; of two that contain each other the shorter one counts."""
    tree: PathTree = {}
    for path in sorted(paths, key=len):
        node: PathTree | None = tree
        for name in path[:-1]:
            node = node.setdefault(name, {}) if node is not None else None
        if node is not None:
            node.setdefault(path[-1], None)
    return tree


def overlaps(tree: PathTree, path: Path) -> bool:
    """Return whether a set has this path, one below it or one above it."""
    node: PathTree | None = tree
    for name in path:
        if node is None:
            return True
        if name not in node:
            return False
        node = node[name]
    return True


def paths_outside(tree: PathTree, allowed: PathTree) -> Iterator[Path]:
    """List the paths of a set that are neither in ``allowed`` nor below a path of it."""
    for name, inner in tree.items():
        permitted = allowed.get(name, {})
        if permitted is None:
            continue
        if inner is None:
            yield (name,)
        else:
            yield from ((name, *rest) for rest in paths_outside(inner, permitted))


def paths_overlapping(tree: PathTree, denied: PathTree) -> Iterator[Path]:
    """List the paths of a set that are in ``denied``, or below or above a path of it."""
    for name, inner in tree.items():
        if name not in denied:
            continue
        below = denied[name]
        if inner is None:
            yield (name,)
        else:
            found = paths_outside(inner, {}) if below is None else paths_overlapping(inner, below)
            yield from ((name, *rest) for rest in found)


def as_json_snippet(value: Any) -> str:
    """Write a value that a caller sent as JSON on one line, cut at ``_MAX_SNIPPET`` characters."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= _MAX_SNIPPET else text[:_MAX_SNIPPET] + "…"


def session_member(path: Path) -> str:
    """Name a member of the session as callers know it, cut at ``_MAX_MEMBER`` characters."""
    return f"session.{'.'.join(path)}"[:_MAX_MEMBER]


def join_names(names: Sequence[str]) -> str:
    """Write names as a list in a sentence."""
    if not names:
        return "none"
    rest = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def suggest(names: Sequence[str]) -> str:
    """Say which values would be right."""
    return f"Use one of: {join_names(names)}." if names else "None is allowed."
