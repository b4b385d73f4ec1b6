"""Tiers as objects: what replaces which variable, and what a wrong one is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.budgets import MinuteLimit
from service.calls.rules import CallRules
from service.calls.settings import CallSettings
from service.core.environment import ConfigurationError
from service.core.model import Caller, Grant
from service.limits.settings import LimitSettings

TIERS = {
    "pro": {"requests": "60/minute", "call_seconds": 3600, "calls": 3, "call_minutes": "600/day"},
    "talker": {"call_seconds": 7200},
    "old": "20/minute",
}


def caller(tier: str | None = None) -> Caller:
    return Caller("i", "ada", {"tier": tier} if tier else {}, "f" * 64)


def grant(kind: Any = "live", most: int | None = None) -> Grant:
    return Grant(kind, "gpt-live-1.1", {}, 60, action="call", max_call_seconds=most)


@pytest.fixture(scope="module")
def rules() -> CallRules:
    limits = LimitSettings.from_environ({"RATE_LIMIT_TIERS": json.dumps(TIERS)})
    return CallRules.from_settings(CallSettings.from_environ({"CALL_MINUTES_GLOBAL": "900/hour"}), limits)


def test_a_tiers_members_replace_the_variables_upwards_too(rules: CallRules) -> None:
    usual, pro = rules.request(caller(), grant()), rules.request(caller("pro"), grant())

    assert (usual.seconds, usual.limits.calls, usual.limits.minutes) == (600, 1, (MinuteLimit(3600, 86_400),))
    assert (pro.seconds, pro.limits.calls, pro.limits.minutes) == (3600, 3, (MinuteLimit(36_000, 86_400),))
    assert usual.limits.minutes_global == pro.limits.minutes_global == (MinuteLimit(54_000, 3600),)
    old = rules.request(caller("old"), grant())
    assert (old.seconds, old.limits) == (usual.seconds, usual.limits)


def test_of_all_that_bounds_a_calls_length_the_least_counts(rules: CallRules) -> None:
    assert rules.request(caller("talker"), grant()).seconds == 7200
    assert rules.request(caller("talker"), grant("realtime")).seconds == 3600
    assert rules.request(caller("talker"), grant(most=90)).seconds == 90
    assert rules.request(caller(), grant(most=5000)).seconds == 600


def test_requests_of_a_tier_without_them_are_those_of_everybody() -> None:
    limits = LimitSettings.from_environ({"RATE_LIMIT_TIERS": json.dumps(TIERS)}).limit_rules

    assert limits.tiers["talker"] == limits.user
    assert [window.amount for window in limits.tiers["pro"]] == [60]


@pytest.mark.parametrize(
    ("tier", "words"),
    [
        ({"call_second": 60}, "unknown member 'call_second'"),
        ({"call_seconds": 29}, "call_seconds that is not a whole number from 30 to 7200"),
        ({"call_seconds": True}, "call_seconds that is not a whole number"),
        ({"calls": 0}, "calls that is not a whole number from 1"),
        ({"calls": None}, "calls that is not a whole number"),
        ({"requests": 7}, "requests that is not text"),
        ({"requests": "5/min"}, "is not a limit"),
        ({"call_minutes": "0/day"}, "call_minutes that would never let a call be opened"),
    ],
)
def test_a_wrong_tier_is_named_with_what_is_wrong(tier: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        LimitSettings.from_environ({"RATE_LIMIT_TIERS": json.dumps({"pro": tier})})
    assert "tier 'pro'" in str(refused.value)
