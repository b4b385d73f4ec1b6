"""Parse the admin's limits, and list the buckets that a request counts in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv6Network, ip_network
from typing import Final, Literal, Self

from limits import RateLimitItem, RateLimitItemPerSecond, parse_many

from service.budgets import span_in_words
from service.core.claims import claim_values, is_user_editable
from service.core.model import Caller

Scope = Literal["user", "global", "address", "refused", "calls"]

EXAMPLE: Final = "10/minute;100/hour"
MAX_AMOUNT: Final = 1_000_000_000
MAX_SECONDS: Final = 10 * 366 * 86_400
ADDRESS_BUCKETS: Final = 2048
NETWORK_BUCKETS: Final = 512
"""How many buckets all clients without a valid token share, by the hash of an address or network.

Each takes some 150 bytes in Redis: under 1 MB in all."""

NETWORK_FACTOR: Final = 10
"""How much more a whole IPv6 /48 may have refused than one /64 in it: a customer is often given all of it."""


class Window(RateLimitItemPerSecond):
    """At most ``amount`` requests within a number of seconds.

    Unlike the library's own items, the key leaves the amount out: a user whose new token names another tier,
    or whose admin changed a limit, goes on with the count already there and finds no fresh bucket.
    """

    __slots__ = ("seconds",)

    def __init__(self, amount: int, seconds: int) -> None:
        super().__init__(amount, seconds, namespace="realtime-token")
        self.seconds = seconds

    @property
    def span(self) -> str:
        """How long the window is, in words: ``1 minute``."""
        return span_in_words(self.seconds)

    def key_for(self, *identifiers: bytes | str | float) -> str:
        """Name the counter: ``user/IDENTITY/60``."""
        return "/".join([*map(str, identifiers), str(self.seconds)])


@dataclass(frozen=True, slots=True)
class Bucket:
    """One window of one user, of some addresses, or of everybody together (``identity`` then says ``all``).

    One that is not ``enforced`` only counts: a window that another tier has, in case the user changes to it.
    """

    scope: Scope
    identity: str
    window: Window
    enforced: bool = True

    def admits(self, used: int) -> bool:
        """Return whether one more request may pass where so many count."""
        return used < self.window.amount or not self.enforced

    @property
    def key(self) -> str:
        """The counter's name in the storage, without the prefix and the strategy."""
        return self.window.key_for(self.scope, self.identity)


def parse_limits(text: str) -> tuple[RateLimitItem, ...]:
    """Read the notation of the ``limits`` library, once, at start: what does not parse must never mean no limit.

    Raises:
        ValueError: the notation is wrong, or a limit would admit no request.
    """
    try:
        items = tuple(parse_many(text))
    except ValueError:
        items = ()
    if not items:
        raise ValueError(
            f"is not a limit; write for example {EXAMPLE} (second, minute, hour, day, month or year)"
        )
    if any(item.amount < 1 or item.get_expiry() < 1 for item in items):
        raise ValueError(f"would admit no request; each limit needs at least 1, for example {EXAMPLE}")
    if any(item.amount > MAX_AMOUNT or item.get_expiry() > MAX_SECONDS for item in items):
        raise ValueError(f"exceeds 1,000,000,000 requests or ten years; write for example {EXAMPLE}")
    return items


def build_windows(items: Iterable[RateLimitItem]) -> tuple[Window, ...]:
    """Make one window for each length, the strictest, shortest first: two of one length would share a counter."""
    strictest: dict[int, int] = {}
    for item in items:
        seconds = item.get_expiry()
        strictest[seconds] = min(item.amount, strictest.get(seconds, item.amount))
    return tuple(Window(amount, seconds) for seconds, amount in sorted(strictest.items()))


@dataclass(frozen=True, slots=True)
class LimitRules:
    """The admin's limits, parsed. ``tiers`` are in the order in which they are written.

    ``counted`` has, for each tier and for users without one (``None``), the windows that only others have.
    """

    user: tuple[Window, ...]
    everybody: tuple[Window, ...]
    failed_auth: tuple[Window, ...]
    refused: tuple[Window, ...]
    call_control: tuple[Window, ...]
    tiers: Mapping[str, tuple[Window, ...]]
    tier_claim: str
    counted: Mapping[str | None, tuple[Window, ...]]

    @classmethod
    def from_items(  # noqa: PLR0913 - one for each limit, all by name
        cls,
        *,
        user: Iterable[RateLimitItem],
        everybody: Iterable[RateLimitItem],
        failed_auth: Iterable[RateLimitItem],
        refused: Iterable[RateLimitItem],
        call_control: Iterable[RateLimitItem] = (),
        tiers: Mapping[str, Iterable[RateLimitItem]],
        tier_claim: str,
    ) -> Self:
        """Build the rules from limits as the notation gives them."""
        by_tier = {tier: build_windows(items) for tier, items in tiers.items()}
        enforced: dict[str | None, tuple[Window, ...]] = {None: build_windows(user)}
        enforced.update(by_tier)
        return cls(
            user=enforced[None],
            everybody=build_windows(everybody),
            failed_auth=build_windows(failed_auth),
            refused=build_windows(refused),
            call_control=build_windows(call_control),
            tiers=by_tier,
            tier_claim=tier_claim,
            counted={tier: _windows_of_others(windows, enforced) for tier, windows in enforced.items()},
        )

    def find_tier(self, caller: Caller) -> str | None:
        """Find the caller's tier: of several that the claim names, the one written first in ``tiers``."""
        if not self.tiers:
            return None
        named = claim_values(caller.claims, self.tier_claim)
        return next((tier for tier in self.tiers if tier in named), None)

    def user_buckets(self, identity: str, tier: str | None = None) -> tuple[Bucket, ...]:
        """List the buckets of one user: enforced those of the tier, counted those that other tiers have.

        So a user who changes to a tier with other window lengths does not start with an unused quota.
        """
        enforced = self.user if tier is None else self.tiers[tier]
        buckets = [Bucket("user", identity, window) for window in enforced]
        buckets += [Bucket("user", identity, window, enforced=False) for window in self.counted[tier]]
        return tuple(buckets)

    def global_buckets(self) -> tuple[Bucket, ...]:
        """List what bounds all callers together."""
        return tuple(Bucket("global", "all", window) for window in self.everybody)

    def refused_buckets(self, identity: str, *, control: bool = False) -> tuple[Bucket, ...]:
        """List what bounds a user's requests that are refused before they count.

        ``control``: those that read or end calls, which have their own limit and no other.
        """
        if control:
            return self.call_control_buckets(identity)
        return tuple([Bucket("refused", identity, window) for window in self.refused])

    def call_control_buckets(self, identity: str) -> tuple[Bucket, ...]:
        """List what bounds a user's reading and ending of calls."""
        return tuple(Bucket("calls", identity, window) for window in self.call_control)

    def address_buckets(self, address: str) -> tuple[Bucket, ...]:
        """List what bounds refused credentials from one client: an IPv4 address, or an IPv6 /64 and its /48.

        Their number is fixed, whoever calls from wherever; addresses that share one are refused a little early.
        """
        buckets = [
            Bucket("address", _hashed(address, ADDRESS_BUCKETS), window) for window in self.failed_auth
        ]
        try:
            network = ip_network(address, strict=False)
        except ValueError:
            return tuple(buckets)
        if isinstance(network, IPv6Network):
            name = "network-" + _hashed(str(network.supernet(new_prefix=48)), NETWORK_BUCKETS)
            wider = (Window(NETWORK_FACTOR * window.amount, window.seconds) for window in self.failed_auth)
            buckets += [Bucket("address", name, window) for window in wider]
        return tuple(buckets)

    def warnings(self) -> tuple[str, ...]:
        """Say what the admin should know at start."""
        if not self.tiers or not is_user_editable(self.tier_claim):
            return ()
        warning = (
            f"RATE_LIMIT_TIER_CLAIM: users may be able to edit {self.tier_claim} themselves and so choose "
            "their tier; use a claim that only your server writes, such as app_metadata.plan"
        )
        return (warning,)


def _windows_of_others(
    own: tuple[Window, ...], enforced: Mapping[str | None, tuple[Window, ...]]
) -> tuple[Window, ...]:
    """Make a window for each length that ``own`` lacks, of the largest amount: that much of it is remembered."""
    lengths = {window.seconds for window in own}
    others: dict[int, int] = {}
    for window in (window for windows in enforced.values() for window in windows):
        if window.seconds not in lengths:
            others[window.seconds] = max(window.amount, others.get(window.seconds, 0))
    return tuple(Window(amount, seconds) for seconds, amount in sorted(others.items()))


def _hashed(text: str, buckets: int) -> str:
    return str(int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) % buckets)
