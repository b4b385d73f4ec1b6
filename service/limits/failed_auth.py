"""Count refused credentials for each address, by Flask-Limiter.

It is asked after a credential was refused, never before a view: a valid token from the same address never meets it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from service.core.errors import StorageFailureError
from service.limits.counter import RedisCounter, create_counter
from service.limits.rules import Bucket
from service.limits.strategies import Acquisition, BucketStatus, SlidingState
from service.store import MemoryStore, Store
from service.store.protocol import KEY_PREFIX

STRATEGY: Final = "sliding-window-counter"
"""Two numbers a bucket, whatever ``RATE_LIMIT_STRATEGY`` says: clients without a token must not fill the storage."""

T = TypeVar("T")


class _ClusterFoundError(Exception):
    """Redis turned out to be a cluster, which the library's client of a single server cannot use."""


class FailedAuthCounter:
    """Counts on Flask-Limiter's storage, which shares our pool of connections.

    On a cluster, whose pools the library cannot share, our own script counts; while Redis is unavailable, our
    memory does.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        in_memory = isinstance(store, MemoryStore)
        self._script = None if isinstance(store, MemoryStore) else RedisCounter(store, STRATEGY)
        fallback = None if isinstance(store, MemoryStore) else store.fallback
        self._fallback = create_counter(fallback, STRATEGY) if fallback is not None else None
        pool = None if isinstance(store, MemoryStore) else store.connection_pool
        self._extension = Limiter(
            get_remote_address,
            strategy=STRATEGY,
            # Without the URL nothing that the library prints can hold a password.
            storage_uri="memory://" if in_memory or pool is None else "redis://",
            storage_options={"connection_pool": pool, "key_prefix": KEY_PREFIX} if pool is not None else {},
            headers_enabled=False,
            swallow_errors=False,
            in_memory_fallback_enabled=False,
        )

    def init_app(self, app: Flask) -> None:
        """Give the app its Flask-Limiter."""
        # Named first: for an extension that the app knows already no hooks are added, which would run on every
        # request, 38 µs each, and find nothing to do.
        app.extensions["limiter"] = {self._extension}
        self._extension.init_app(app)

    def acquire(self, buckets: Sequence[Bucket]) -> Acquisition:
        """Count one refused credential in every bucket, or in none.

        Raises:
            StorageBusyError: no connection was free within 5 s.
            StorageFailureError: the storage is unavailable and the policy is ``deny``.
        """
        if isinstance(self._store, MemoryStore):
            with self._store.lock:
                return self._count(buckets)
        try:
            if self._script and self._store.topology == "cluster":
                return self._script.acquire(buckets)
            return self._count(buckets)
        except _ClusterFoundError:
            return self.acquire(buckets)
        except StorageFailureError:
            if self._fallback is None:
                raise
            return self._fallback.acquire(buckets)

    def _count(self, buckets: Sequence[Bucket]) -> Acquisition:
        """Look first, so that a refusal consumes nothing, then count.

        Where other processes take the last in between, too few are admitted, never too many.
        """
        states = [self._read(bucket) for bucket in buckets]
        statuses = [
            BucketStatus.from_state(bucket, state) for bucket, state in zip(buckets, states, strict=True)
        ]
        if not all(status.admits for status in statuses):
            return Acquisition(admitted=False, statuses=tuple(statuses))
        hit = self._extension.limiter.hit
        for bucket in buckets:
            if not self._ask(partial(hit, bucket.window, bucket.scope, bucket.identity)):
                return Acquisition(
                    admitted=False, statuses=(BucketStatus.from_state(bucket, self._read(bucket)),)
                )
        return Acquisition(admitted=True, statuses=tuple(statuses))

    def _read(self, bucket: Bucket) -> SlidingState:
        storage: Any = self._extension.limiter.storage
        return SlidingState(*self._ask(lambda: storage.get_sliding_window(bucket.key, bucket.window.seconds)))

    def _ask(self, operation: Callable[[], T]) -> T:
        """Send one command: each has a connection and the storage's time to itself."""
        store = self._store
        if isinstance(store, MemoryStore):
            return operation()

        def on_one_server(_client: Any) -> T:
            if store.topology == "cluster":
                raise _ClusterFoundError
            return operation()

        return store.call(on_one_server)
