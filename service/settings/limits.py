"""How often: the limits and where they are counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from limits import RateLimitItem
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from service.ratelimit.notation import parse_limits, parse_tiers
from service.ratelimit.storage import check_storage_url
from service.settings.base import EnvironmentModel
from service.settings.envtypes import parsed_by

LimitItems = Annotated[tuple[RateLimitItem, ...], BeforeValidator(parsed_by(parse_limits))]
Tiers = Annotated[Mapping[str, tuple[RateLimitItem, ...]], BeforeValidator(parsed_by(parse_tiers))]
StorageUrl = Annotated[SecretStr, AfterValidator(check_storage_url)]


class LimitSettings(EnvironmentModel):
    """Rate limits."""

    rate_limit_per_user: LimitItems = Field("10/minute;100/hour")  # type: ignore[assignment]  # parsed too
    rate_limit_global: LimitItems = Field("600/minute")  # type: ignore[assignment]
    rate_limit_failed_auth: LimitItems = Field("20/minute")  # type: ignore[assignment]
    rate_limit_tiers: Tiers = Field("{}")  # type: ignore[assignment]
    rate_limit_tier_claim: str = "tier"
    redis_url: StorageUrl | None = None
    rate_limit_storage_url: StorageUrl | None = None
    rate_limit_strategy: Literal["sliding-window-counter", "moving-window", "fixed-window"] = (
        "sliding-window-counter"
    )
    rate_limit_on_storage_failure: Literal["local", "deny"] = "local"
    trusted_proxy_hops: Annotated[int, Field(ge=0, le=10)] = 0
    dyno: str | None = None

    @field_validator("rate_limit_storage_url")
    @classmethod
    def _storage_is_redis_or_memory(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        return value or info.data.get("redis_url") or SecretStr("memory://")

    @property
    def storage_url(self) -> str:
        """Where limits are counted; may hold a password."""
        return self.rate_limit_storage_url.get_secret_value() if self.rate_limit_storage_url else "memory://"

    @property
    def counts_in_memory(self) -> bool:
        """Whether limits hold for one process only."""
        return self.storage_url.startswith("memory://")
