"""What a check says of one part: well or not, what was seen, and what mends it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``mend`` is given where ``well`` is false; no member ever holds a secret."""

    part: str
    well: bool
    seen: str
    mend: str | None = None

    @property
    def line(self) -> str:
        """The finding as a person reads it."""
        mark = "✓" if self.well else "✗"
        mend = f" → {self.mend}" if self.mend else ""
        return f"{mark} {self.part}: {self.seen}{mend}"

    @property
    def members(self) -> dict[str, Any]:
        """The finding as a machine reads it."""
        return asdict(self)


def well(part: str, seen: str) -> Finding:
    """Report that a part is as it should be."""
    return Finding(part, well=True, seen=seen)


def ill(part: str, seen: str, mend: str) -> Finding:
    """Report what is wrong with a part, and what to do about it."""
    return Finding(part, well=False, seen=seen, mend=mend)
