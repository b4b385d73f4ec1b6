"""What a check reports of one part, and running checks side by side within a bounded time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Final

TIMEOUT: Final = 15
"""Seconds until a part that has not answered counts as a problem, even one that answers a byte now and then."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``fix`` is given where ``ok`` is false; no member ever holds a secret."""

    part: str
    ok: bool
    seen: str
    fix: str | None = None

    @property
    def line(self) -> str:
        """The finding as a person reads it."""
        mark = "✓" if self.ok else "✗"
        fix = f" → {self.fix}" if self.fix else ""
        return f"{mark} {self.part}: {self.seen}{fix}"

    @property
    def members(self) -> dict[str, Any]:
        """The finding as a machine reads it."""
        return asdict(self)


def ok(part: str, seen: str) -> Finding:
    """Report that a part is as it should be."""
    return Finding(part, ok=True, seen=seen)


def problem(part: str, seen: str, fix: str) -> Finding:
    """Report what is wrong with a part, and what to do about it."""
    return Finding(part, ok=False, seen=seen, fix=fix)


def run(checks: Mapping[str, Callable[[], list[Finding]]], *, timeout: float = TIMEOUT) -> list[Finding]:
    """Run all checks at once, for at most ``timeout`` seconds, and report in the order they are given.

    Threads rather than an executor, whose threads the interpreter would wait for at its exit.
    """
    findings: dict[str, list[Finding]] = {}

    def note(part: str, check: Callable[[], list[Finding]]) -> None:
        try:
            findings[part] = check()
        except Exception as error:  # noqa: BLE001 - a check that breaks is a finding; its text may hold a secret
            seen = f"the check itself failed ({type(error).__name__})"
            findings[part] = [problem(part, seen, "report this")]

    threads = [threading.Thread(target=note, args=item, daemon=True) for item in checks.items()]
    for thread in threads:
        thread.start()
    end = monotonic() + timeout
    for thread in threads:
        thread.join(max(0, end - monotonic()))
    late = f"no answer within {timeout:g} s"
    fix = "see that this host can reach it, then check again"
    return [found for part in checks for found in findings.get(part, [problem(part, late, fix)])]
