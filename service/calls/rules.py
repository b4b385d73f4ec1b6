"""What bounds the calls of one user: the variables, or what the user's tier says instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from service.calls.model import VENDOR_MAXIMUM_SECONDS, CallLimits, CallRequest, CallType, Reservation
from service.calls.settings import CallSettings
from service.core.model import Caller, Grant
from service.limits.limiter import PiggybackCheck
from service.limits.settings import LimitSettings
from service.limits.tiers import Tier


@dataclass(frozen=True, slots=True)
class Allowance:
    """How long one call may last (seconds), and how many there may be."""

    seconds: int
    limits: CallLimits

    @classmethod
    def from_settings(cls, settings: CallSettings, tier: Tier) -> Self:
        """Take a tier's members where it has them, and else the variables."""
        limits = CallLimits(
            calls=settings.calls_per_user if tier.calls is None else tier.calls,
            at_limit=settings.calls_at_limit,
            calls_global=settings.calls_global,
            minutes=tier.call_minutes or settings.call_minutes_per_user,
            minutes_global=settings.call_minutes_global,
        )
        return cls(settings.call_max_seconds if tier.call_seconds is None else tier.call_seconds, limits)


@dataclass(frozen=True, slots=True)
class CallRules:
    """The allowance of users without a tier, and that of each tier."""

    usual: Allowance
    tiers: Mapping[str, Allowance]
    find_tier: Callable[[Caller], str | None]
    read_along: PiggybackCheck | None = None

    @classmethod
    def from_settings(
        cls, settings: CallSettings, limits: LimitSettings, *, read_along: PiggybackCheck | None = None
    ) -> Self:
        """Build the rules; tiers are those of the request limits."""
        tiers = {
            name: Allowance.from_settings(settings, tier) for name, tier in limits.rate_limit_tiers.items()
        }
        return cls(Allowance.from_settings(settings, Tier()), tiers, limits.limit_rules.find_tier, read_along)

    def allowance(self, caller: Caller) -> Allowance:
        """Return what a caller may have."""
        tier = self.find_tier(caller)
        return self.usual if tier is None else self.tiers[tier]

    def request(self, caller: Caller, grant: Grant) -> CallRequest:
        """Put a granted call to the registry: of all that bounds its length the least counts."""
        call_type: CallType = "live" if grant.session_type == "live" else "realtime"
        allowance = self.allowance(caller)
        seconds = min(allowance.seconds, VENDOR_MAXIMUM_SECONDS[call_type])
        if grant.max_call_seconds is not None:
            seconds = min(seconds, grant.max_call_seconds)
        read = self.read_along.key(caller) if self.read_along else None
        return CallRequest(caller.pseudonym, call_type, grant.model, seconds, allowance.limits, read)

    def check(self, caller: Caller, reservation: Reservation) -> None:
        """Look again at what was read with the reservation: it may have come after the request was counted.

        Raises:
            ServiceError: this caller gets nothing.
        """
        if self.read_along:
            self.read_along.check(caller, reservation.value)
