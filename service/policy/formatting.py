"""How values, members and lists read in refusals and in explanations, bounded in length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from service.policy.json_path import Path

_MAX_SNIPPET = 80
_MAX_MEMBER = 200
_MAX_NAMES = 20


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
