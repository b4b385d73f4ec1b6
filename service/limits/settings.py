"""How often: the limits and where they are counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from limits import RateLimitItem
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from service.core.environment import EnvironmentModel
from service.core.environment_types import parsed_by
from service.limits.notation import parse_limits, parse_tiers
from service.limits.rules import LimitRules
from service.limits.storage import check_storage_url, check_strategy, counts_in_process

LimitItems = Annotated[tuple[RateLimitItem, ...], BeforeValidator(parsed_by(parse_limits))]
Tiers = Annotated[Mapping[str, tuple[RateLimitItem, ...]], BeforeValidator(parsed_by(parse_tiers))]
StorageUrl = Annotated[SecretStr, AfterValidator(check_storage_url)]


def _text(default: str) -> Any:
    """Write a default as an admin would; it is parsed like any other value."""
    return Field(default)


class LimitSettings(EnvironmentModel):
    """Rate limits."""

    rate_limit_per_user: LimitItems = _text("10/minute;100/hour")
    rate_limit_global: LimitItems = _text("600/minute")
    rate_limit_failed_auth: LimitItems = _text("20/minute")
    rate_limit_tiers: Tiers = _text("{}")
    rate_limit_tier_claim: str = "tier"
    redis_url: StorageUrl | None = None
    rate_limit_storage_url: StorageUrl | None = None
    rate_limit_strategy: Literal["sliding-window-counter", "moving-window", "fixed-window"] = (
        "sliding-window-counter"
    )
    rate_limit_on_storage_failure: Literal["local", "deny"] = "local"
    dyno: str | None = None

    @field_validator("rate_limit_storage_url")
    @classmethod
    def _storage_is_redis_or_memory(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        return value or info.data.get("redis_url") or SecretStr("memory://")

    @field_validator("rate_limit_strategy")
    @classmethod
    def _storage_can_count_so(cls, value: str, info: ValidationInfo) -> str:
        if url := info.data.get("rate_limit_storage_url"):
            check_strategy(value, url.get_secret_value())
        return value

    @property
    def on_heroku(self) -> bool:
        """Whether this is a dyno: Heroku names it in ``DYNO``."""
        return self.dyno is not None

    @property
    def storage_url(self) -> SecretStr:
        """Where limits are counted; may hold a password."""
        return self.rate_limit_storage_url or SecretStr("memory://")

    @property
    def counts_in_memory(self) -> bool:
        """Whether limits hold for one process only."""
        return counts_in_process(self.storage_url.get_secret_value())

    @property
    def limit_rules(self) -> LimitRules:
        """Which windows bound whom."""
        return LimitRules.of(
            user=self.rate_limit_per_user,
            everybody=self.rate_limit_global,
            failed_auth=self.rate_limit_failed_auth,
            tiers=self.rate_limit_tiers,
            tier_claim=self.rate_limit_tier_claim,
        )
