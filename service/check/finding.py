"""What a check reports of one part, and running checks side by side within a bounded time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Final, Literal

TIMEOUT: Final = 15
"""Seconds until a part that has not answered counts as a problem, even one that answers a byte now and then."""


State = Literal["ok", "warning", "problem"]
_MARKS: Final[Mapping[State, str]] = {"problem": "✗", "warning": "!", "ok": "✓"}
"""In the order of a report: what has to be fixed comes first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``fix`` is given where ``state`` is not ``ok``; no member ever holds a secret."""

    part: str
    state: State
    seen: str
    fix: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the service can serve with it."""
        return self.state != "problem"

    @property
    def line(self) -> str:
        """The finding as a person reads it."""
        fix = f" → {self.fix}" if self.fix else ""
        return f"{_MARKS[self.state]} {self.part}: {self.seen}{fix}"

    @property
    def members(self) -> dict[str, Any]:
        """The finding as a machine reads it."""
        return {**asdict(self), "ok": self.ok}


def ok(part: str, seen: str) -> Finding:
    """Report that a part is as it should be."""
    return Finding(part, "ok", seen)


def warning(part: str, seen: str, fix: str) -> Finding:
    """Report what the service can live with, and the admin should look at."""
    return Finding(part, "warning", seen, fix)


def problem(part: str, seen: str, fix: str) -> Finding:
    """Report what is wrong with a part, and what to do about it."""
    return Finding(part, "problem", seen, fix)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, the worst first, and what they come to."""

    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return all(finding.ok for finding in self.findings)

    @property
    def verdict(self) -> str:
        """Say in one line whether this environment is fit to serve."""
        problems, warnings = self._parts("problem"), self._parts("warning")
        if problems:
            more = f"; warnings: {', '.join(warnings)}" if warnings else ""
            return f"✗ Not fit to serve. To fix: {', '.join(problems)}{more}."
        if warnings:
            return f"! Fit to serve. Warnings: {', '.join(warnings)}."
        return "✓ Fit to serve."

    @property
    def lines(self) -> list[str]:
        """The report as a person reads it."""
        ordered = [each for state in _MARKS for each in self.findings if each.state == state]
        return [*(finding.line for finding in ordered), self.verdict]

    @property
    def members(self) -> dict[str, Any]:
        """The report as a machine reads it."""
        return {
            "ok": self.ok,
            "verdict": self.verdict,
            "findings": [finding.members for finding in self.findings],
        }

    def _parts(self, state: State) -> list[str]:
        return list(dict.fromkeys(each.part for each in self.findings if each.state == state))


class TokenReport(Report):
    """The same of one user's token, in the order of the checks, which each rest on those before."""

    @property
    def verdict(self) -> str:
        """Say in one line whether the service accepts the token."""
        problems = self._parts("problem")
        return f"✗ This token is refused: {', '.join(problems)}." if problems else "✓ This token is accepted."

    @property
    def lines(self) -> list[str]:
        """The report as a person reads it."""
        return [*(finding.line for finding in self.findings), self.verdict]


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
