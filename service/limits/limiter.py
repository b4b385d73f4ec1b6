"""Limits as the service uses them: one verb before the mint, one after refused credentials."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from service.core.errors import RateLimitedError
from service.core.model import Caller, StorageState
from service.limits.failover import Failover
from service.limits.quota import Quota
from service.limits.rules import LimitRules
from service.limits.state import Standing

_CROWD = "crowd"

_MESSAGES = {
    "user": "Your user limit of {amount} requests in {span} is used up. Try again in {wait} s.",
    "global": "The global limit, for all users together, is used up. Try again in {wait} s.",
    "address": "Your address limit for refused credentials is used up. Try again in {wait} s.",
}


class RateLimits:
    """The admin's rules, and the ``counter`` that counts their use."""

    def __init__(self, rules: LimitRules, counter: Failover) -> None:
        self._rules = rules
        self.counter = counter
        self._global_buckets = rules.global_buckets()

    def acquire(self, caller: Caller) -> Quota:
        """Count one request of this caller, before the mint, and say what is left to them.

        Raises:
            RateLimitedError: a limit is used up; nothing was counted. ``limit`` says whose it is.
            RateLimitStorageUnavailableError: the storage is away and the policy is ``deny``.
        """
        own = self._rules.user_buckets(caller)
        taken = self.counter.take((*own, *self._global_buckets))
        quota = Quota.tightest(taken.standings[: len(own)])
        if not taken.admitted:
            raise _refusal(taken.standings, quota)
        return quota

    def count_failed_auth(self, address: str) -> None:
        """Count a refused credential. Callers with a valid token never come here, so it never holds them back.

        Once a storage in memory remembers very many addresses, further ones share one bucket.

        Raises:
            RateLimitedError: this address had too many refused.
            RateLimitStorageUnavailableError: the storage is away and the policy is ``deny``.
        """
        identity = _CROWD if self.counter.crowded else address
        taken = self.counter.take(self._rules.address_buckets(identity))
        if not taken.admitted:
            raise _refusal(taken.standings)

    def state(self) -> StorageState:
        """How the storage is, as far as the requests so far have shown."""
        return self.counter.state

    def probe(self) -> StorageState:
        """Ask the storage, and say how it is."""
        return self.counter.probe()


def _refusal(standings: Iterable[Standing], quota: Quota | None = None) -> RateLimitedError:
    """Report the window that takes longest: a client that waits for it finds all others free as well."""
    slowest = max(standings, key=lambda standing: standing.wait)
    window, scope = slowest.bucket.window, slowest.bucket.scope
    message = _MESSAGES[scope].format(amount=window.amount, span=window.span, wait=max(1, ceil(slowest.wait)))
    return RateLimitedError(
        message, limit=scope, retry_after=slowest.wait, quota_headers=quota.headers if quota else {}
    )
