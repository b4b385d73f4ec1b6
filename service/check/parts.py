"""The parts that the service itself would use, tried once: the key set and the limit storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from service.auth.jwks import JwksKeys
from service.check.finding import Finding, ill, well
from service.limits.counter import Counter
from service.limits.window import PROBE


def check_key_sets(key_sets: Sequence[JwksKeys]) -> list[Finding]:
    """Fetch the identity providers' keys."""
    if not key_sets:
        return [well("JWKS", "none is configured; tokens are verified with the configured keys")]
    return [_check_key_set(key_set) for key_set in key_sets]


def _check_key_set(key_set: JwksKeys) -> Finding:
    state = key_set.load()
    if not state.loaded:
        return ill(
            "JWKS",
            f"{state.url}: {state.error or 'no answer'}",
            "see that JWT_JWKS_URL, AUTH_PROVIDER or else JWT_ISSUER is right, and that this host may connect to it",
        )
    return well("JWKS", f"{state.url} holds {', '.join(key_set.describe_keys())}")


def check_storage(open_counter: Callable[[], Counter], *, shown: str) -> Finding:
    """Count one request in the limit storage. ``shown`` is its URL without what is secret."""
    try:
        counter = open_counter()
        counter.take([PROBE])  # the first one connects
        started = perf_counter()
        counter.take([PROBE])
    except Exception as error:  # noqa: BLE001 - each storage has its own; their texts may hold the password
        return ill(
            "limit storage",
            f"{shown}: {type(error).__name__}",
            "see that RATE_LIMIT_STORAGE_URL (or REDIS_URL) is right and that the storage is up",
        )
    return well("limit storage", f"{shown} counts, {(perf_counter() - started) * 1000:.1f} ms a round trip")
