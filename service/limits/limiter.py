"""Enforce the rate limits: on callers before the vendor is asked, on addresses after a refused credential."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import ceil
from typing import Any, Final, Protocol

from flask import Flask

from service.core.errors import RateLimitedError, StorageFailureError
from service.core.model import Caller, StorageState
from service.limits.counter import MemoryCounter, create_counter
from service.limits.failed_auth import STRATEGY, FailedAuthCounter
from service.limits.quota import Quota
from service.limits.rules import Bucket, LimitRules
from service.limits.strategies import Acquisition, BucketStatus
from service.store import MemoryStore, Store

MAX_REFUSED_USERS: Final = 50_000
"""Of how many users refused requests are counted at once: some 16 MB."""

_MESSAGES: Final = {
    "user": "Your user limit of {amount} requests in {span} is used up. Try again in {wait} s.",
    "global": "The global limit, for all users together, is used up. Try again in {wait} s.",
    "refused": "Your user limit of {amount} refused requests in {span} is used up. Try again in {wait} s.",
    "calls": "Your limit of {amount} requests about calls in {span} is used up. Try again in {wait} s.",
    "address": "Your address limit for refused credentials is used up. Try again in {wait} s.",
}


class ReadAlong(Protocol):
    """What is read in the round trip that counts a request, so that looking at it costs none of its own."""

    def key(self, caller: Caller) -> str:
        """Name what is read for a caller, the whole key."""

    def check(self, caller: Caller, value: Any) -> None:
        """Look at what was read, ``None`` where nothing is kept.

        Raises:
            ServiceError: this caller gets nothing.
        """


class RateLimits:
    """The admin's rules, counted in a store; while Redis is unavailable, in the fallback memory, if any.

    ``read_along`` is looked at first: whom it refuses is told so, whatever the limits say.
    """

    def __init__(
        self, rules: LimitRules, store: Store, strategy: str, *, read_along: ReadAlong | None = None
    ) -> None:
        self._rules = rules
        self._read_along = read_along
        self._store = store
        self._counter = create_counter(store, strategy)
        fallback = None if isinstance(store, MemoryStore) else store.fallback
        self._fallback = create_counter(fallback, strategy) if fallback is not None else None
        self._failed_auth = FailedAuthCounter(store)
        self._refused = MemoryCounter(MemoryStore(max_keys=MAX_REFUSED_USERS), STRATEGY)
        self._global_buckets = rules.global_buckets()

    def init_app(self, app: Flask) -> None:
        """Give the app its Flask-Limiter, which counts refused credentials."""
        self._failed_auth.init_app(app)

    def acquire(self, caller: Caller) -> Quota:
        """Count one request of this caller, before the vendor is asked, and return what is left to them.

        Raises:
            RateLimitedError: a limit is used up; nothing was counted. ``limit`` says whose it is.
            StorageFailureError: the storage is unavailable and the policy is ``deny``.
            StorageBusyError: no connection to the storage was free within 5 s, whatever the policy.
        """
        own = self._rules.user_buckets(caller.pseudonym, self._rules.find_tier(caller))
        acquisition = self._acquire_for(caller, (*own, *self._global_buckets))
        quota = Quota.tightest(
            status for status in acquisition.statuses[: len(own)] if status.bucket.enforced
        )
        if not acquisition.admitted:
            raise _limited(acquisition.statuses, quota)
        return quota

    def check_refused(self, caller: Caller, *, control: bool = False) -> None:
        """Look whether too many requests of this caller were refused already, and count nothing.

        ``control``: of those that read or end calls, which are counted apart.

        Raises:
            RateLimitedError: too many were, in this process.
        """
        statuses = self._refused.peek(self._rules.refused_buckets(caller.pseudonym, control=control))
        if not all(status.admits for status in statuses):
            raise _limited(statuses)

    def count_refused(self, caller: Caller, *, control: bool = False) -> None:
        """Count a request of this caller that was refused before it counted, in this process's memory.

        Each process counts for itself, so that a request that costs nobody anything costs no round trip either.
        """
        # Where the memory is full of other users, this one's are counted a little later.
        with suppress(StorageFailureError):
            self._refused.acquire(self._rules.refused_buckets(caller.pseudonym, control=control))

    def acquire_call_control(self, caller: Caller) -> None:
        """Count one request of this caller about calls that are open already; raises as ``acquire`` does."""
        acquisition = self._acquire_for(caller, self._rules.call_control_buckets(caller.pseudonym))
        if not acquisition.admitted:
            raise _limited(acquisition.statuses)

    def count_failed_auth(self, address: str) -> None:
        """Count a refused credential of a client (``client_address``), after it was refused.

        Raises:
            RateLimitedError: this address had too many refused.
            StorageFailureError: the storage is unavailable and the policy is ``deny``.
            StorageBusyError: no connection to the storage was free within 5 s.
        """
        acquisition = self._failed_auth.acquire(self._rules.address_buckets(address))
        if not acquisition.admitted:
            raise _limited(acquisition.statuses)

    def state(self) -> StorageState:
        """Return the storage's state, as far as the requests so far have shown."""
        return self._describe(self._store.state)

    def probe(self) -> StorageState:
        """Ask the storage, and return its state."""
        return self._describe(self._store.probe())

    def _describe(self, state: str) -> StorageState:
        if state == "ok":
            return "ok"
        return "degraded" if self._fallback else "unavailable"

    def _acquire_for(self, caller: Caller, buckets: Sequence[Bucket]) -> Acquisition:
        along = self._read_along
        acquisition = self._acquire(buckets, [along.key(caller)] if along else [])
        if along:
            along.check(caller, acquisition.values[0])
        return acquisition

    def _acquire(self, buckets: Sequence[Bucket], read: Sequence[str]) -> Acquisition:
        try:
            return self._counter.acquire(buckets, read=read)
        except StorageFailureError:
            if self._fallback is None:
                raise
            return self._fallback.acquire(buckets, read=read)


def _limited(statuses: Iterable[BucketStatus], quota: Quota | None = None) -> RateLimitedError:
    """Report the window that takes longest: a client that waits for it finds all others free as well."""
    slowest = max(statuses, key=lambda status: status.wait)
    window, scope = slowest.bucket.window, slowest.bucket.scope
    message = _MESSAGES[scope].format(amount=window.amount, span=window.span, wait=max(1, ceil(slowest.wait)))
    whose = "user" if scope == "refused" else scope
    return RateLimitedError(
        message, limit=whose, retry_after=slowest.wait, quota_headers=quota.headers if quota else {}
    )
