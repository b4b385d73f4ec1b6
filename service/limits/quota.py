"""Write the rate limit headers: what a caller has left.

https://www.ietf.org/archive/id/draft-ietf-httpapi-ratelimit-headers-10.html: ``RateLimit-Policy`` (§3) names
the quota ``q`` in requests and its window ``w`` in seconds; ``RateLimit`` (§4) what remains, ``r``, and the
seconds until more is available, ``t``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Self

from service.budgets import MinuteStatus
from service.limits.strategies import BucketStatus


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
        """The two fields. Everybody's shared quota is not in them: it would tell each caller the total traffic."""
        return {"RateLimit-Policy": rate_limit_policy(self), "RateLimit": rate_limit(self)}


def rate_limit_policy(quota: Quota) -> str:
    """Write ``"user";q=10;w=60``."""
    return f'"user";q={quota.amount};w={quota.window}'


def rate_limit(quota: Quota) -> str:
    """Write ``"user";r=9;t=33``. Storages count in milliseconds: what is beyond is noise."""
    return f'"user";r={quota.remaining};t={ceil(round(quota.renews_in, 3))}'


def add_call_seconds(headers: Mapping[str, str], minutes: Iterable[MinuteStatus]) -> dict[str, str]:
    """Add the second policy, ``"call-seconds"``: of the caller's minutes the limit of which least is left."""
    tightest = min(minutes, key=lambda status: (status.left, -status.resets_in))
    added = {
        "RateLimit-Policy": f'"call-seconds";q={tightest.limit.amount};w={tightest.limit.length}',
        "RateLimit": f'"call-seconds";r={tightest.left};t={ceil(round(tightest.resets_in, 3))}',
    }
    return {name: ", ".join(filter(None, (headers.get(name), item))) for name, item in added.items()}
