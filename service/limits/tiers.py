"""Tiers (``RATE_LIMIT_TIERS``): what callers of one tier may have instead of what the variables say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from limits import RateLimitItem

from service.budgets import MINIMUM_GRANT, MinuteLimit, parse_minutes
from service.limits.rules import parse_limits

LONGEST_CALL: Final = 7200
"""Maximum duration of any vendor's session, in seconds."""

_EXAMPLE: Final = '{"pro": "60/minute;1000/hour"}'
_MEMBERS: Final = ("requests", "call_seconds", "calls", "call_minutes")


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier; what is ``None`` or empty is as the variables say.

    ``requests`` takes the place of ``RATE_LIMIT_PER_USER``, ``call_seconds`` of ``CALL_MAX_SECONDS``, ``calls`` of
    ``CALLS_PER_USER`` and ``call_minutes`` of ``CALL_MINUTES_PER_USER``; upwards too.
    """

    requests: tuple[RateLimitItem, ...] = ()
    call_seconds: int | None = None
    calls: int | None = None
    call_minutes: tuple[MinuteLimit, ...] = ()


def parse_tiers(text: str) -> Mapping[str, Tier]:
    """Read ``{"pro": "60/minute;1000/hour", "max": {"requests": "60/minute", "calls": 3}}``.

    Raises:
        ValueError: naming the tier that is wrong.
    """
    try:
        tiers = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"is not JSON; write for example {_EXAMPLE}") from None
    if not isinstance(tiers, dict) or not all(isinstance(limits, str | dict) for limits in tiers.values()):
        raise ValueError(f"must be an object of limits by tier, for example {_EXAMPLE}")
    parsed = {}
    for name, written in tiers.items():
        try:
            parsed[name] = _parse_tier({"requests": written} if isinstance(written, str) else written)
        except ValueError as error:
            raise ValueError(f"tier {name!r} {error}") from None
    return parsed


def _parse_tier(written: Mapping[str, Any]) -> Tier:
    if unknown := sorted(set(written) - set(_MEMBERS)):
        raise ValueError(f"has the unknown member {unknown[0]!r}; there are {', '.join(_MEMBERS)}")
    for member in {"requests", "call_minutes"} & set(written):
        if not isinstance(written[member], str):
            raise ValueError(f"has {member} that is not text")  # noqa: TRY004 - a wrong value, as every other here
    return Tier(
        requests=parse_limits(written["requests"]) if "requests" in written else (),
        call_seconds=_whole(written, "call_seconds", MINIMUM_GRANT, LONGEST_CALL),
        calls=_whole(written, "calls", 1, 1_000_000),
        call_minutes=_minutes(written["call_minutes"]) if "call_minutes" in written else (),
    )


def _whole(written: Mapping[str, Any], member: str, least: int, most: int) -> int | None:
    number = written.get(member)
    if member in written and not (type(number) is int and least <= number <= most):
        raise ValueError(f"has {member} that is not a whole number from {least} to {most}")
    return number


def _minutes(text: str) -> tuple[MinuteLimit, ...]:
    try:
        return parse_minutes(text)
    except ValueError as error:
        raise ValueError(f"has call_minutes that {error}") from None
