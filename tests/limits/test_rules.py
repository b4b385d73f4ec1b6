"""Who is bound by what: tiers, keys and windows."""

from __future__ import annotations

from typing import Any

import pytest

from service.limits.rules import Window
from service.limits.settings import LimitSettings
from tests.support.limits import Client, caller, client, limits


def user_amounts(claims: dict[str, Any], *, tier_claim: str = "tier") -> list[int]:
    """Say how much a caller with these claims may have, with one tier ``pro`` of 60."""
    settings = LimitSettings.from_environ(
        {
            "RATE_LIMIT_PER_USER": "10/minute",
            "RATE_LIMIT_TIERS": '{"pro": "60/minute"}',
            "RATE_LIMIT_TIER_CLAIM": tier_claim,
        }
    )
    rules = settings.limit_rules
    return [bucket.window.amount for bucket in rules.user_buckets("ada", rules.find_tier(caller(**claims)))]


@pytest.mark.parametrize(
    ("claims", "tier_claim"),
    [
        ({"tier": "pro"}, "tier"),
        ({"app_metadata": {"plan": "pro"}}, "app_metadata.plan"),
        ({"https://acme.example/plan": "pro"}, "https://acme.example/plan"),
        ({"a.b": "pro", "a": {"b": "free"}}, "a.b"),
        ({"https://acme.example/app": {"plan": "pro"}}, "https://acme.example/app.plan"),
        ({"app": {"v1.2": {"plan": "pro"}}}, "app.v1.2.plan"),
        ({"cognito:groups": ["staff", "pro"]}, "cognito:groups"),
        ({"realm_access": {"roles": ["pro"]}}, "realm_access.roles"),
        ({"resource_access": {"my.client": {"roles": ["pro"]}}}, "resource_access.my.client.roles"),
    ],
)
def test_a_claim_that_names_a_tier_has_its_limits(claims: dict[str, Any], tier_claim: str) -> None:
    """First as a literal name, since namespaced claims hold dots, then as a path."""
    assert user_amounts(claims, tier_claim=tier_claim) == [60]


@pytest.mark.parametrize(
    "claims",
    [{}, {"tier": "gold"}, {"tier": None}, {"tier": ["gold", 1, {}]}, {"tier": {"pro": 1}}, {"tier": 1}],
)
def test_an_unknown_tier_has_the_default_limits(claims: dict[str, Any]) -> None:
    """So has one that is no text at all."""
    assert user_amounts(claims) == [10]


def test_of_several_tiers_the_one_written_first_holds() -> None:
    """In ``RATE_LIMIT_TIERS``, whatever the order in the token."""
    rate_limits = limits(tiers='{"team": "5/day", "pro": "60/day"}', tier_claim="roles")
    assert rate_limits.acquire(caller(roles=["pro", "team"])).amount == 5


def test_a_change_to_a_tier_with_other_windows_is_no_unused_quota(storage: str) -> None:
    """Each request counts in every length that any tier names, and is refused by those of its own tier only."""
    rate_limits = limits(storage, per_user="4/day", tiers='{"pro": "20/365 day", "free": "2/hour"}')
    assert all(Client(rate_limits, caller("ada", tier="pro")).is_admitted() for _ in range(5))
    assert Client(rate_limits, caller("ada", tier="free")).is_refused().limit == "user"
    assert Client(rate_limits, caller("ada")).is_refused().limit == "user"
    assert rate_limits.acquire(caller("ada", tier="pro")).remaining == 20 - 6


def test_two_tokens_of_one_user_share_what_they_used() -> None:
    """Else a user who changes tiers, or holds an old token beside a new one, has both limits."""
    rate_limits = limits(per_user="2/day", tiers='{"pro": "5/day"}')
    for _ in range(2):
        rate_limits.acquire(caller("ada"))
    quota = rate_limits.acquire(caller("ada", tier="pro"))
    assert quota.remaining == 5 - 3


def test_a_changed_limit_goes_on_with_the_count_there_is() -> None:
    """The key names the user and the window's length, not the amount."""
    assert Window(5, 60).key_for("user", "x") == Window(500, 60).key_for("user", "x")
    assert Window(5, 60).key_for("user", "x") != Window(5, 3600).key_for("user", "x")


def test_of_two_limits_for_one_length_the_stricter_counts() -> None:
    """Both would share a counter and each request would count twice."""
    assert client(limits(per_user="5/day;3/day;24 per 24 hour")).uses_up() == 3


def test_users_do_not_share_a_limit() -> None:
    """Each has the whole of it."""
    rate_limits = limits(per_user="2/day")
    assert client(rate_limits).uses_up() == 2
    assert client(rate_limits).uses_up() == 2


def test_everybody_shares_the_global_limit() -> None:
    """And the refusal says that it is not the caller's own."""
    rate_limits = limits(per_user="10/day", **{"global": "3/day"})
    assert sum(client(rate_limits).is_admitted() for _ in range(5)) == 3
    refused = client(rate_limits).is_refused()
    assert (refused.limit, refused.code) == ("global", "rate_limit_exceeded")
    assert "all users together" in refused.message


def test_a_key_holds_no_name(redis: Any) -> None:
    """The storage knows a user by an HMAC only, and no key has an empty part."""
    rate_limits = limits(redis.url)
    rate_limits.acquire(caller("ada@example.com"))
    keys = [key.decode() for key in redis.client.keys("*user*")]
    assert keys
    assert not any("ada" in key or "//" in key for key in keys)


@pytest.mark.parametrize("name", ["user_metadata.plan", "unsafe_metadata.plan"])
def test_a_tier_that_users_can_choose_is_warned_about(name: str) -> None:
    """Where nothing depends on it there is nothing to warn about."""
    tiers = {"RATE_LIMIT_TIER_CLAIM": name, "RATE_LIMIT_TIERS": '{"pro": "60/minute"}'}
    (warning,) = LimitSettings.from_environ(tiers).limit_rules.warnings()
    assert warning.startswith("RATE_LIMIT_TIER_CLAIM: ")
    assert name in warning
    assert LimitSettings.from_environ({"RATE_LIMIT_TIER_CLAIM": name}).limit_rules.warnings() == ()
    trusted = tiers | {"RATE_LIMIT_TIER_CLAIM": "app_metadata.plan"}
    assert LimitSettings.from_environ(trusted).limit_rules.warnings() == ()
