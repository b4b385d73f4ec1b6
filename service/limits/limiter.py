"""Enforce the rate limits, and write the headers that tell a caller what is left.

Callers are counted before the vendor is asked, addresses after a refused credential. The headers are those of
https://www.ietf.org/archive/id/draft-ietf-httpapi-ratelimit-headers-10.html: ``RateLimit-Policy`` (§3) names the quota
``q`` in requests and its window ``w`` in seconds; ``RateLimit`` (§4) what remains, ``r``, and the seconds until more is
available, ``t``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Final, Protocol, Self

from flask import Flask

from service.budgets import MinuteStatus
from service.core.errors import RateLimitedError, RateLimitStorageUnavailableError, StorageFailureError
from service.core.model import Caller, StorageState
from service.limits.counter import MemoryCounter, create_counter
from service.limits.failed_auth import STRATEGY, FailedAuthCounter
from service.limits.rules import Bucket, LimitRules
from service.limits.strategies import Acquisition, BucketStatus
from service.store import MemoryStore, Store

MAX_REFUSED_USERS: Final = 50_000
"""Maximum number of users whose refused requests, or whose waits, are tracked at once (some 20 MB each)."""

_MESSAGES: Final = {
    "user": "Your user limit of {amount} requests in {span} is used up. Try again in {wait} s.",
    "global": "The global limit, for all users together, is used up. Try again in {wait} s.",
    "refused": "Your user limit of {amount} refused requests in {span} is used up. Try again in {wait} s.",
    "calls": "Your user limit of {amount} requests to read or end calls in {span} is used up. Try again in {wait} s.",
    "address": "Too many invalid credentials from your address (address limit). Try again in {wait} s.",
}


@dataclass(frozen=True, slots=True)
class Quota:
    """The tightest of a caller's own windows. ``window`` and ``renews_in`` are in seconds."""

    amount: int
    window: int
    remaining: int
    renews_in: float

    @classmethod
    def tightest(cls, statuses: Iterable[BucketStatus]) -> Self:
        """Take the window with the fewest requests left: that many the caller can count on.

        Of several the one that renews last, which is also the one that a refused caller has to wait for.
        """
        status = min(statuses, key=lambda status: (status.remaining, -status.renews_in))
        window = status.bucket.window
        return cls(window.amount, window.seconds, status.remaining, status.renews_in)

    @property
    def headers(self) -> dict[str, str]:
        """The two fields. The global limit is not in them: it would tell each caller the total traffic."""
        renews_in = ceil(round(self.renews_in, 3))  # storages count in milliseconds: what is beyond is noise
        return {
            "RateLimit-Policy": f'"user";q={self.amount};w={self.window}',
            "RateLimit": f'"user";r={self.remaining};t={renews_in}',
        }


def add_call_seconds(headers: Mapping[str, str], minutes: Iterable[MinuteStatus]) -> dict[str, str]:
    """Append the caller's tightest limit of minutes as a second policy, ``"call-seconds"``."""
    tightest = min(minutes, key=lambda status: (status.left, -status.resets_in))
    added = {
        "RateLimit-Policy": f'"call-seconds";q={tightest.limit.amount};w={tightest.limit.length}',
        "RateLimit": f'"call-seconds";r={tightest.left};t={ceil(round(tightest.resets_in, 3))}',
    }
    return {name: ", ".join(filter(None, (headers.get(name), item))) for name, item in added.items()}


class PiggybackCheck(Protocol):
    """A check of a value that is read in the round trip that counts a request, so that it costs none of its own."""

    def key(self, caller: Caller) -> str:
        """Name what is read for a caller, the whole key."""

    def check(self, caller: Caller, value: Any) -> None:
        """Look at what was read, ``None`` where nothing is kept.

        Raises:
            ServiceError: this caller gets nothing.
        """


class RateLimits:
    """The admin's rules, counted in a store; while Redis is unavailable, in the fallback memory, if any.

    ``read_along`` is checked first: its refusal comes before that of any limit.
    """

    def __init__(
        self, rules: LimitRules, store: Store, strategy: str, *, read_along: PiggybackCheck | None = None
    ) -> None:
        self._rules = rules
        self._read_along = read_along
        self._store = store
        self._counter = create_counter(store, strategy)
        fallback = None if isinstance(store, MemoryStore) else store.fallback
        self._fallback = create_counter(fallback, strategy) if fallback is not None else None
        self._failed_auth = FailedAuthCounter(store)
        self._refused = MemoryCounter(MemoryStore(max_keys=MAX_REFUSED_USERS), STRATEGY)
        self._waiting = MemoryStore(max_keys=MAX_REFUSED_USERS)
        self._global_buckets = rules.global_buckets()

    def init_app(self, app: Flask) -> None:
        """Give the app its Flask-Limiter, which counts refused credentials."""
        self._failed_auth.init_app(app)

    def acquire(self, caller: Caller) -> Quota:
        """Count one request of this caller, before the vendor is asked, and return what is left to them.

        Raises:
            InvalidTokenError: ``read_along`` refuses the caller, whose token was revoked.
            RateLimitedError: a limit is used up; nothing was counted. ``limit`` says whose it is.
            StorageFailureError: the storage is unavailable and the policy is ``deny``.
            StorageBusyError: no connection to the storage was free within 5 s, whatever the policy.
        """
        own = self._rules.user_buckets(caller.pseudonym, self._rules.find_tier(caller))
        acquisition = self._acquire(caller, (*own, *self._global_buckets))
        quota = Quota.tightest(
            status for status in acquisition.statuses[: len(own)] if status.bucket.enforced
        )
        if not acquisition.admitted:
            raise _limited(acquisition.statuses, quota)
        return quota

    def check_refused(self, caller: Caller, *, control: bool = False) -> None:
        """Look whether too many requests of this caller were refused already, and count nothing.

        ``control``: of those that read or end calls, as many as their own limit admits; once that is used up, they
        are refused here until it admits one.

        Raises:
            RateLimitedError: too many were, in this process.
        """
        if control and (used_up := self._waiting.get(caller.pseudonym)):
            status, until = used_up
            raise _limited([replace(status, wait=max(0.0, until - self._waiting.now()))])
        buckets = self._rules.refused_buckets(caller.pseudonym, control=control)
        if self._refused.has_counted(buckets):
            statuses = self._refused.peek(buckets)
            if not all(status.admits for status in statuses):
                raise _limited(statuses)

    def count_refused(self, caller: Caller, *, control: bool = False) -> None:
        """Count a request of this caller that was refused before it counted, in this process's memory.

        Each process counts for itself, which costs no round trip.
        """
        # Where the memory is full of other users, this one's are counted a little later.
        with suppress(StorageFailureError):
            self._refused.acquire(self._rules.refused_buckets(caller.pseudonym, control=control))

    def acquire_call_control(self, caller: Caller) -> None:
        """Count one request of this caller about calls that are open already; raises as ``acquire`` does."""
        acquisition = self._acquire(caller, self._rules.call_control_buckets(caller.pseudonym))
        if not acquisition.admitted:
            self._refuse_locally(caller, _slowest(acquisition.statuses))
            raise _limited(acquisition.statuses)

    def _refuse_locally(self, caller: Caller, status: BucketStatus) -> None:
        """Note until when the limit is used up: what comes until then costs no round trip."""
        with suppress(StorageFailureError), self._waiting.lock:
            until = self._waiting.now() + status.wait
            self._waiting.set(caller.pseudonym, (status, until), status.wait)

    def check_along(self, caller: Caller) -> None:
        """Check ``read_along`` alone, for a request that is refused before it counts.

        Raises:
            InvalidTokenError: ``read_along`` refuses the caller.
        """
        if self._read_along:
            # Without the storage it cannot be known, and the refusal stands.
            with suppress(RateLimitStorageUnavailableError):
                self._acquire(caller, ())

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

    def _acquire(self, caller: Caller, buckets: Sequence[Bucket]) -> Acquisition:
        along = self._read_along
        read = [along.key(caller)] if along else []
        try:
            acquisition = self._counter.acquire(buckets, read=read)
        except StorageFailureError:
            if self._fallback is None:
                raise
            acquisition = self._fallback.acquire(buckets, read=read)
        if along:
            along.check(caller, acquisition.values[0])
        return acquisition


def _slowest(statuses: Iterable[BucketStatus]) -> BucketStatus:
    return max(statuses, key=lambda status: status.wait)


def _limited(statuses: Iterable[BucketStatus], quota: Quota | None = None) -> RateLimitedError:
    """Report the window that takes longest: a client that waits for it finds all others free as well."""
    slowest = _slowest(statuses)
    window, scope = slowest.bucket.window, slowest.bucket.scope
    message = _MESSAGES[scope].format(amount=window.amount, span=window.span, wait=max(1, ceil(slowest.wait)))
    whose = "user" if scope == "refused" else scope
    return RateLimitedError(
        message, limit=whose, retry_after=slowest.wait, quota_headers=quota.headers if quota else {}
    )
