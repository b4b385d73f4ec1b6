"""The environment's variables: the problems that would stop a start, and names that are probably mistyped."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from service.check.finding import Finding, ill, well
from service.core.environment import Problem

_LIKENESS = 0.86
"""``difflib``'s ratio: lets ``RATE_LIMIT_PER_USERS`` through, and keeps ``HOSTNAME`` apart from ``HOST``."""


def check_variables(
    environ: Iterable[str], *, known: Collection[str], problems: Iterable[Problem]
) -> list[Finding]:
    """Report each problem, and each variable that looks like one of ours and is none. Values are not read."""
    findings = [ill(f"variable {p.variable}", p.message, f"correct {p.variable}") for p in problems]
    for name in sorted(set(environ) - set(known)):
        meant = get_close_matches(name, known, n=1, cutoff=_LIKENESS)
        if meant:
            findings.append(ill(f"variable {name}", "is none that is read", f"rename it to {meant[0]}"))
    return findings or [well("variables", "all valid")]
