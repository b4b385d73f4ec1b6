"""Storage that outlives a request: Redis, shared by all processes, or this process's memory."""

from __future__ import annotations

from service.store.memory import MemoryStore
from service.store.protocol import RedisStore, Store
from service.store.settings import StoreSettings

__all__ = ["MemoryStore", "RedisStore", "Store", "StoreSettings", "build"]


def build(settings: StoreSettings) -> Store:
    """Make the storage that the settings name. Nothing is connected before the first use.

    With ``RATE_LIMIT_ON_STORAGE_FAILURE=local`` a Redis has a memory beside it, to fall back on.
    """
    if settings.is_memory:
        return MemoryStore()
    # Imported here: where everything is kept in memory, a tenth of the service's own memory is saved.
    from service.store.redis import PooledRedis  # noqa: PLC0415

    fallback = MemoryStore() if settings.rate_limit_on_storage_failure == "local" else None
    url = settings.storage_url.get_secret_value()
    return PooledRedis(url, on_heroku=settings.on_heroku, fallback=fallback)
