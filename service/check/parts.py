"""The parts that the service itself would use, tried once: the key set and the limit storage."""

from __future__ import annotations

from time import perf_counter

from service.auth.jwks import JwksKeys
from service.check.finding import Finding, ill, well
from service.core.errors import RateLimitStorageUnavailableError
from service.store import MemoryStore, StoreSettings, build
from service.store.protocol import KEY_PREFIX, Script
from service.store.settings import mask_url


def check_key_set(key_set: JwksKeys | None) -> Finding:
    """Fetch the identity provider's keys."""
    if key_set is None:
        return well("JWKS", "none is configured; tokens are verified with the configured keys")
    state = key_set.load()
    if not state.loaded:
        return ill(
            "JWKS",
            f"{state.url}: {state.error or 'no answer'}",
            "see that JWT_JWKS_URL or AUTH_PROVIDER is right and that this host may connect to it",
        )
    keys = ", ".join(f"{key_id or 'unnamed'} ({'/'.join(algorithms)})" for key_id, algorithms in state.keys)
    return well("JWKS", f"{state.url} holds {keys}")


_WRITE = Script("check", "return redis.call('SET', KEYS[1], '1', 'PX', 1000)")


def check_storage(settings: StoreSettings) -> Finding:
    """Write once to the limit storage, as the service would."""
    shown = mask_url(settings.storage_url.get_secret_value())
    store = build(settings)
    if isinstance(store, MemoryStore):
        return well("limit storage", f"{shown} counts in the process itself")
    try:
        store.run(_WRITE, [f"{KEY_PREFIX}/check"])  # the first one connects
        started = perf_counter()
        store.run(_WRITE, [f"{KEY_PREFIX}/check"])
    except RateLimitStorageUnavailableError as error:
        cause = type(error.__cause__).__name__ if error.__cause__ else error.reason
        return ill(
            "limit storage",
            f"{shown}: {cause}",
            "see that RATE_LIMIT_STORAGE_URL (or REDIS_URL) is right and that the storage is up",
        )
    took = (perf_counter() - started) * 1000
    kind = {"single": "", "sentinel": " (by Sentinel)", "cluster": " (a cluster)"}[store.topology]
    return well("limit storage", f"{shown}{kind} counts, {took:.1f} ms a round trip")
