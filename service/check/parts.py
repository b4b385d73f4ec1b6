"""The parts that the service itself would use, tried once: variables, the key set and the limit storage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from time import perf_counter

from service.auth.jwks import JwksKeys
from service.check.finding import Finding, ok, problem
from service.core.environment import Problem
from service.limits.counter import Counter
from service.limits.window import PROBE

_SIMILARITY = 0.86
"""``difflib``'s ratio: lets ``RATE_LIMIT_PER_USERS`` through, and keeps ``HOSTNAME`` apart from ``HOST``."""


def check_variables(
    environ: Iterable[str], *, known: Collection[str], problems: Iterable[Problem]
) -> list[Finding]:
    """Report each problem, and each variable whose name is close to one of ours. Values are not read."""
    findings = [problem(f"variable {p.variable}", p.message, f"correct {p.variable}") for p in problems]
    for name in sorted(set(environ) - set(known)):
        meant = get_close_matches(name, known, n=1, cutoff=_SIMILARITY)
        if meant:
            findings.append(problem(f"variable {name}", "is not read", f"rename it to {meant[0]}"))
    return findings or [ok("variables", "all valid")]


def check_key_set(key_set: JwksKeys | None) -> Finding:
    """Fetch the identity provider's keys."""
    if key_set is None:
        return ok("JWKS", "none is configured; tokens are verified with the configured keys")
    state = key_set.load()
    if not state.loaded:
        return problem(
            "JWKS",
            f"{state.url}: {state.error or 'no answer'}",
            "see that JWT_JWKS_URL or AUTH_PROVIDER is right and that this host may connect to it",
        )
    keys = ", ".join(f"{key_id or 'unnamed'} ({'/'.join(algorithms)})" for key_id, algorithms in state.keys)
    return ok("JWKS", f"{state.url} holds {keys}")


def check_storage(open_counter: Callable[[], Counter], *, shown: str) -> Finding:
    """Count one request in the limit storage. ``shown`` is its URL without what is secret."""
    try:
        counter = open_counter()
        counter.take([PROBE])  # the first one connects
        started = perf_counter()
        counter.take([PROBE])
    except Exception as error:  # noqa: BLE001 - each storage has its own; their texts may hold the password
        return problem(
            "limit storage",
            f"{shown}: {type(error).__name__}",
            "see that RATE_LIMIT_STORAGE_URL (or REDIS_URL) is right and that the storage is up",
        )
    return ok("limit storage", f"{shown} counts, {(perf_counter() - started) * 1000:.1f} ms a round trip")
