"""Refused requests of a known user have a limit of their own, in each process's memory."""

from __future__ import annotations

import json

import pytest

from service.core.errors import RateLimitedError
from service.limits import LimitSettings, RateLimits
from service.limits.limiter import MAX_REFUSED_USERS
from tests.support.limits import caller, limits
from tests.support.processes import free_port
from tests.support.service import Sandbox, app_in_process
from tests.support.tokens import sign

LARGE = json.dumps({"session": {"tools": [{"name": "unknown"}] * 2000}})
"""A body that a policy has some work with, before it refuses it."""


def is_let_in(limits: RateLimits, subject: str) -> bool:
    """Return whether this user may still send a body."""
    try:
        limits.check_refused(caller(subject))
    except RateLimitedError:
        return False
    return True


def test_sixty_a_minute_are_the_default() -> None:
    (window,) = LimitSettings.from_environ({}).limit_rules.refused
    assert (window.amount, window.seconds) == (60, 60)


def test_so_many_are_refused_and_no_more() -> None:
    bounded = limits(refused_per_user="3/minute")
    for _ in range(3):
        assert is_let_in(bounded, "ada")
        bounded.count_refused(caller("ada"))
    assert not is_let_in(bounded, "ada")


def test_looking_counts_nothing() -> None:
    bounded = limits(refused_per_user="1/minute")
    assert all(is_let_in(bounded, "ada") for _ in range(10))


def test_each_user_has_a_limit_of_their_own_and_it_is_no_quota() -> None:
    bounded = limits(refused_per_user="1/minute", per_user="2/minute")
    bounded.count_refused(caller("ada"))
    assert not is_let_in(bounded, "ada")
    assert is_let_in(bounded, "bob")
    assert bounded.acquire(caller("ada")).remaining == 1


def test_the_refusal_says_which_limit_it_is_and_when_it_ends() -> None:
    bounded = limits(refused_per_user="1/minute")
    bounded.count_refused(caller("ada"))
    with pytest.raises(RateLimitedError) as refused:
        bounded.check_refused(caller("ada"))
    assert (refused.value.limit, refused.value.code) == ("user", "rate_limit_exceeded")
    assert refused.value.message.startswith("Your user limit of 1 refused requests in 1 minute is used up.")
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 120


def test_neither_counting_nor_looking_asks_the_storage() -> None:
    """Which is not there, and the policy is ``deny``."""
    bounded = limits(
        f"redis://127.0.0.1:{free_port()}", refused_per_user="1/minute", on_storage_failure="deny"
    )
    bounded.count_refused(caller("ada"))
    assert not is_let_in(bounded, "ada")


def test_a_token_without_the_scope_is_one_of_them(sandbox: Sandbox) -> None:
    """Its user is known, and has no other limit then."""
    service = app_in_process(
        sandbox.base_url,
        JWT_REQUIRED_SCOPE="realtime",
        RATE_LIMIT_REFUSED_PER_USER="2/minute",
        RATE_LIMIT_CALL_CONTROL_PER_USER="3/minute",
    )
    lacking = sign(sub="ada", scope="email")
    assert [service.token(jwt=lacking).status_code for _ in range(4)] == [403, 403, 429, 429]
    headers = {"Authorization": f"Bearer {lacking}"}
    assert [service.get("/calls", headers=headers).status_code for _ in range(4)] == [403, 403, 403, 429]
    assert service.token(jwt=sign(sub="bob", scope="realtime")).ok


def test_a_memory_full_of_other_users_refuses_nobody() -> None:
    """Their number is bounded, and those who are known to it stay so."""
    bounded = limits(refused_per_user="1/minute")
    for number in range(MAX_REFUSED_USERS):
        bounded.count_refused(caller(f"user {number}"))
    bounded.count_refused(caller("one more"))
    assert is_let_in(bounded, "one more")
    assert not is_let_in(bounded, "user 0")


def test_a_user_who_is_over_it_is_refused_before_the_body_is_read(sandbox: Sandbox) -> None:
    """So 100 large bodies cost the work of five; others, and the user's other limits, are as ever."""
    policy = json.dumps({"tools": ["known"]})
    service = app_in_process(sandbox.base_url, SESSION_POLICY=policy, RATE_LIMIT_REFUSED_PER_USER="5/hour")
    json_type = {"Content-Type": "application/json"}
    answers = [service.token(data=LARGE, headers=json_type) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [403] * 5 + [429] * 7
    error = answers[-1].json()["error"]
    assert (error["type"], error["code"], error["param"]) == (
        "rate_limit_error",
        "rate_limit_exceeded",
        None,
    )
    assert "user limit" in error["message"]
    assert answers[-1].headers["Retry-After"].isdecimal()
    assert service.token(data="not JSON, and not looked at", headers=json_type).status_code == 429
    assert service.token({"model": "gpt-realtime-2.1"}).status_code == 429
    assert service.token(jwt=sign(sub="somebody else")).status_code == 200
