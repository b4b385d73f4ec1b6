"""Rate limits of each caller, each address, and all callers together."""

from __future__ import annotations

from service.limits.limiter import PiggybackCheck, RateLimits
from service.limits.settings import LimitSettings
from service.store import Store

__all__ = ["LimitSettings", "RateLimits", "build"]


def build(settings: LimitSettings, store: Store, *, read_along: PiggybackCheck | None = None) -> RateLimits:
    """Build the limits; ``init_app`` then gives an app its Flask-Limiter."""
    return RateLimits(settings.limit_rules, store, settings.rate_limit_strategy, read_along=read_along)
