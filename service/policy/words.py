"""How values and lists read in refusals and in ``--explain``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from service.policy.paths import Path, dotted

_MOST_CHARACTERS = 80
_LONGEST_PATH = 200
_MOST_NAMES = 20


def shown(value: Any) -> str:
    """Repeat a value as JSON on one line, cut where it is long: it may be anything a caller sent."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "…"


def member(path: Path) -> str:
    """Name a member of the session as a caller knows it, cut where the caller made it long."""
    return f"session.{dotted(path)}"[:_LONGEST_PATH]


def listed(names: Sequence[str]) -> str:
    """Write names as a list in a sentence."""
    if not names:
        return "none"
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def choice(names: Sequence[str]) -> str:
    """Say what would be right instead."""
    return f"Use one of: {listed(names)}." if names else "None is allowed."
