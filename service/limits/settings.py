"""Settings of rate limits, and of the strategy that counts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from limits import RateLimitItem
from pydantic import BeforeValidator, Field

from service.core.environment import EnvironmentModel
from service.core.environment_types import parsed_by
from service.limits.rules import LimitRules, parse_limits
from service.limits.tiers import Tier, parse_tiers

LimitItems = Annotated[tuple[RateLimitItem, ...], BeforeValidator(parsed_by(parse_limits))]
Tiers = Annotated[Mapping[str, Tier], BeforeValidator(parsed_by(parse_tiers))]


def _text(default: str) -> Any:
    """Write a default as an admin would; it is parsed like any other value."""
    return Field(default)


class LimitSettings(EnvironmentModel):
    """Rate limits."""

    rate_limit_per_user: LimitItems = _text("10/minute;100/hour")
    rate_limit_global: LimitItems = _text("600/minute")
    rate_limit_failed_auth: LimitItems = _text("20/minute")
    rate_limit_call_control_per_user: LimitItems = _text("120/minute")
    rate_limit_tiers: Tiers = _text("{}")
    rate_limit_tier_claim: str = "tier"
    rate_limit_strategy: Literal["sliding-window-counter", "moving-window", "fixed-window"] = (
        "sliding-window-counter"
    )

    @property
    def limit_rules(self) -> LimitRules:
        """The parsed limits of users, tiers, addresses and everybody together."""
        return LimitRules.from_items(
            user=self.rate_limit_per_user,
            everybody=self.rate_limit_global,
            failed_auth=self.rate_limit_failed_auth,
            call_control=self.rate_limit_call_control_per_user,
            tiers={
                name: tier.requests or self.rate_limit_per_user
                for name, tier in self.rate_limit_tiers.items()
            },
            tier_claim=self.rate_limit_tier_claim,
        )
