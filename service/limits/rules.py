"""What the admin allows: which windows bound whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from limits import RateLimitItem

from service.core.claims import find_claim, is_user_editable
from service.core.model import Caller
from service.limits.window import Bucket, Window, windows_of


@dataclass(frozen=True, slots=True)
class LimitRules:
    """The admin's limits, parsed."""

    user: tuple[Window, ...]
    everybody: tuple[Window, ...]
    failed_auth: tuple[Window, ...]
    tiers: Mapping[str, tuple[Window, ...]]
    tier_claim: str

    @classmethod
    def of(
        cls,
        *,
        user: Iterable[RateLimitItem],
        everybody: Iterable[RateLimitItem],
        failed_auth: Iterable[RateLimitItem],
        tiers: Mapping[str, Iterable[RateLimitItem]],
        tier_claim: str,
    ) -> Self:
        """Take the limits as the notation gives them."""
        return cls(
            user=windows_of(user),
            everybody=windows_of(everybody),
            failed_auth=windows_of(failed_auth),
            tiers={tier: windows_of(items) for tier, items in tiers.items()},
            tier_claim=tier_claim,
        )

    def user_windows(self, tier: object) -> tuple[Window, ...]:
        """Those of a tier, or the default ones where the tier is not one of ours."""
        return self.tiers.get(tier, self.user) if isinstance(tier, str) else self.user

    def user_buckets(self, caller: Caller) -> tuple[Bucket, ...]:
        """What bounds this caller alone."""
        windows = self.user_windows(find_claim(caller.claims, self.tier_claim)) if self.tiers else self.user
        return tuple(Bucket("user", caller.pseudonym, window) for window in windows)

    def global_buckets(self) -> tuple[Bucket, ...]:
        """What bounds all callers together."""
        return tuple(Bucket("global", "all", window) for window in self.everybody)

    def address_buckets(self, address: str) -> tuple[Bucket, ...]:
        """What bounds refused credentials from one address."""
        return tuple(Bucket("address", address, window) for window in self.failed_auth)

    def warnings(self) -> tuple[str, ...]:
        """What the admin should know at start."""
        if not self.tiers or not is_user_editable(self.tier_claim):
            return ()
        warning = (
            f"RATE_LIMIT_TIER_CLAIM: users may be able to edit {self.tier_claim} themselves and so choose "
            "their tier; use a claim that only your server writes, such as app_metadata.plan"
        )
        return (warning,)
