"""The notation admins write limits in, that of the ``limits`` library (``10/minute;100/hour``).

Parsed once, at start: a limit that does not parse must never mean no limit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from limits import RateLimitItem, parse_many

EXAMPLE = "10/minute;100/hour"
MOST = 1_000_000_000
LONGEST = 10 * 366 * 86_400


def parse_limits(text: str) -> tuple[RateLimitItem, ...]:
    """Read one or several limits.

    Raises:
        ValueError: where the notation is wrong, or a limit would admit nobody.
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
        raise ValueError(f"would admit nobody; each limit needs at least 1, for example {EXAMPLE}")
    if any(item.amount > MOST or item.get_expiry() > LONGEST for item in items):
        raise ValueError(f"is beyond a thousand million requests or ten years; write for example {EXAMPLE}")
    return items


def parse_tiers(text: str) -> Mapping[str, tuple[RateLimitItem, ...]]:
    """Read ``{"pro": "60/minute;1000/hour"}``.

    Raises:
        ValueError: naming the tier that is wrong.
    """
    example = '{"pro": "60/minute;1000/hour"}'
    try:
        tiers = json.loads(text)
    except ValueError:
        raise ValueError(f"is not JSON; write for example {example}") from None
    if not isinstance(tiers, dict) or not all(isinstance(v, str) for v in tiers.values()):
        raise ValueError(f"must be an object of limits by tier, for example {example}")
    parsed = {}
    for tier, limits in tiers.items():
        try:
            parsed[tier] = parse_limits(limits)
        except ValueError as error:
            raise ValueError(f"tier {tier!r} {error}") from None
    return parsed
