"""Why a token was refused: a value for the log, never for the caller."""

from __future__ import annotations

from typing import Any

MAX_SHOWN = 200
"""How many characters of one foreign value may reach the log."""


class Refusal(Exception):  # noqa: N818 - it is a verdict on a token, not a fault of ours
    """A token that does not hold.

    ``cause`` is a word to search the log for, ``reason`` a sentence for the admin, ``seen`` what the token
    said and what was expected. Values that come from the token must go through ``shown``.
    """

    def __init__(self, cause: str, reason: str, **seen: Any) -> None:
        super().__init__(reason)
        self.cause = cause
        self.reason = reason
        self.seen = seen


def shown(value: Any) -> str:
    """Make a foreign value fit for a log line: printable, on one line and of bounded length.

    A token's members are whatever its sender wrote, so line breaks, terminal escapes and kilobytes
    must not reach the log as they are.
    """
    text = value if isinstance(value, str) else type(value).__name__
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return line if len(line) <= MAX_SHOWN else line[:MAX_SHOWN] + "…"
