"""Running checks side by side, within a bounded time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from time import monotonic

from service.check.finding import Finding, ill

PATIENCE = 15
"""Seconds until a part that has not answered counts as ill, even one that answers a byte now and then."""


def run(checks: Mapping[str, Callable[[], list[Finding]]], *, patience: float = PATIENCE) -> list[Finding]:
    """Run all checks at once, and report in the order they are given.

    Threads rather than an executor, whose threads the interpreter would wait for at its exit.
    """
    findings: dict[str, list[Finding]] = {}

    def note(part: str, check: Callable[[], list[Finding]]) -> None:
        try:
            findings[part] = check()
        except Exception as error:  # noqa: BLE001 - a check that breaks is a finding; its text may hold a secret
            findings[part] = [ill(part, f"the check itself failed ({type(error).__name__})", "report this")]

    threads = [threading.Thread(target=note, args=item, daemon=True) for item in checks.items()]
    for thread in threads:
        thread.start()
    end = monotonic() + patience
    for thread in threads:
        thread.join(max(0, end - monotonic()))
    late = f"no answer within {patience:g} s"
    mend = "see that this host can reach it, then check again"
    return [f for part in checks for f in findings.get(part, [ill(part, late, mend)])]
