"""The parts that the service itself would use, tried once: variables, the key set and the limit storage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import perf_counter

from service.auth.jwks import JwksKeys
from service.check.finding import Finding, ok, problem, warning
from service.core.environment import Problem
from service.core.errors import RateLimitStorageUnavailableError, UnavailableError
from service.core.misspelt import Misspelt
from service.store import MemoryStore, StoreSettings, build
from service.store.protocol import KEY_PREFIX, Script
from service.store.settings import mask_url


def check_variables(
    *, problems: Iterable[Problem], misspelt: Iterable[Misspelt], warnings: Iterable[str]
) -> list[Finding]:
    """Report each problem, each variable that is not read although it was meant to be, and what a start warns of."""
    findings = [_explain(found) for found in problems] or [ok("variables", "all valid")]
    findings += [_warn(str(each.problem)) for each in misspelt]
    findings += [_warn(text) for text in warnings]
    return findings


def _explain(found: Problem) -> Finding:
    """Divide what is wrong from what would be right, where a message has both."""
    seen, _, fix = found.message.partition("; ")
    if not fix:
        return problem(f"variable {found.variable}", "cannot be used", f"it {found.message}")
    return problem(f"variable {found.variable}", seen, fix)


def _warn(text: str) -> Finding:
    variable, _, message = text.partition(": ")
    seen, _, fix = message.rpartition("; ")
    return warning(f"variable {variable}", seen or message, fix or "review it; keep it if it is intended")


def check_key_sets(key_sets: Sequence[JwksKeys], *, optional: str | None) -> list[Finding]:
    """Fetch the identity providers' keys. In the place of the set at the URL ``optional`` ``JWT_SECRET`` may stand."""
    if not key_sets:
        return [ok("JWKS", "none is configured; tokens are verified with the configured keys")]
    return [_check_key_set(key_set, optional=optional) for key_set in key_sets]


def _check_key_set(key_set: JwksKeys, *, optional: str | None) -> Finding:
    state = key_set.load()
    if state.loaded:
        return ok("JWKS", f"{state.url} holds {', '.join(key_set.describe_keys())}")
    seen = f"{state.url}: {state.error or 'no answer'}"
    fix = "see that JWT_JWKS_URL, AUTH_PROVIDER or else JWT_ISSUER is right, and that this host may connect to it"
    if state.url == optional:
        return warning("JWKS", seen, f"{fix}; keep it if all tokens are signed with JWT_SECRET")
    return problem("JWKS", seen, fix)


def storage_problem(part: str, seen: str, error: UnavailableError) -> Finding:
    """Report a storage that fails, with what to do about it and in which variable."""
    failure, _, fix = (error.reason or error.message).partition("; ")
    url = "RATE_LIMIT_STORAGE_URL (or REDIS_URL)"
    return problem(part, f"{seen}: {failure}", fix.replace("its URL", url) or f"see that {url} is right")


_WRITE = Script("check", "return redis.call('SET', KEYS[1], '1', 'PX', 1000)")


def check_storage(settings: StoreSettings) -> Finding:
    """Write once to the limit storage, as the service would."""
    shown = mask_url(settings.storage_url.get_secret_value())
    store = build(settings)
    if isinstance(store, MemoryStore):
        return ok("limit storage", f"{shown} counts in the process itself")
    try:
        store.run(_WRITE, [f"{KEY_PREFIX}/check"])  # the first one connects
        started = perf_counter()
        store.run(_WRITE, [f"{KEY_PREFIX}/check"])
    except RateLimitStorageUnavailableError as error:
        return storage_problem("limit storage", shown, error)
    took = (perf_counter() - started) * 1000
    kind = {"single": "", "sentinel": " (by Sentinel)", "cluster": " (a cluster)"}[store.topology]
    return ok("limit storage", f"{shown}{kind} counts, {took:.1f} ms a round trip")
