"""What a client is told of its limits is enough to keep to them, and true."""

from __future__ import annotations

import re
import time
from math import ceil

import pytest

from tests.support.limits import STRATEGIES, Clock, caller, client, limits
from tests.support.redis import RedisServer
from tests.support.service import Sandbox, app_in_process
from tests.support.tokens import sign


@pytest.mark.parametrize("seconds", [27, 26.3])
def test_the_headers_are_those_of_the_draft(seconds: float) -> None:
    """draft-ietf-httpapi-ratelimit-headers-10: quota and window, then what remains and, rounded up, until when."""
    clock = Clock()
    rate_limits = limits(clock, per_user="10/minute")
    rate_limits.acquire(caller("ada"))
    clock.seconds += seconds
    quota = rate_limits.acquire(caller("ada"))
    renews = ceil(60 - seconds)  # as soon as the window ends, both begin to fade
    assert quota.headers == {"RateLimit-Policy": '"user";q=10;w=60', "RateLimit": f'"user";r=8;t={renews}'}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_tightest_window_is_shown(strategy: str) -> None:
    """The one that the client will run into first, be it the short or the long one."""
    clock = Clock()
    user = client(limits(clock, per_user="3/minute;5/hour", strategy=strategy))
    minute, hour = '"user";q=3;w=60', '"user";q=5;w=3600'
    for policy in (minute, hour):
        for _ in range(2):
            assert user.limits.acquire(user.caller).headers["RateLimit-Policy"] == policy
        clock.seconds += 130


def test_a_refusal_names_the_window_that_takes_longest() -> None:
    """A client that waits for the shortest only to be refused by the next was lied to."""
    user = client(limits(per_user="3/minute;3/hour"))
    user.uses_up()
    refused = user.is_refused()
    assert refused.headers["RateLimit-Policy"] == '"user";q=3;w=3600'
    assert int(refused.headers["Retry-After"]) > 3500
    assert "3 requests in 1 hour" in refused.message


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_client_that_waits_gets_through(storage: str, strategy: str) -> None:
    """In real time, for as many whole seconds as ``Retry-After`` says."""
    user = client(limits(storage, per_user="2/second", strategy=strategy))
    user.uses_up()
    time.sleep(int(user.is_refused().headers["Retry-After"]))  # what a client does
    assert user.is_admitted()


def test_answers_carry_the_callers_own_limit_and_nothing_of_everybodys(
    sandbox: Sandbox, redis: RedisServer
) -> None:
    """On 200 and 429, for the caller's tier; ``Retry-After`` on 429 only; nothing where nobody is known."""
    redis.client.flushall()
    service = app_in_process(
        sandbox.base_url,
        REDIS_URL=redis.url,
        RATE_LIMIT_PER_USER="2/day",
        RATE_LIMIT_GLOBAL="4/day",
        RATE_LIMIT_TIERS='{"pro": "50/hour"}',
    )
    headers = [dict(service.token().headers) for _ in range(3)]
    assert [answer["RateLimit"].split(";t=")[0] for answer in headers] == [
        '"user";r=1',
        '"user";r=0',
        '"user";r=0',
    ]
    assert {answer["RateLimit-Policy"] for answer in headers} == {'"user";q=2;w=86400'}
    assert ["Retry-After" in answer for answer in headers] == [False, False, True]

    pro = sign(sub="pro", tier="pro")
    assert re.fullmatch(r'"user";r=49;t=3600', service.token(jwt=pro).headers["RateLimit"])
    service.token(jwt=pro)
    everybody = service.token(jwt=pro)
    assert (everybody.status_code, everybody.json()["error"]["type"]) == (429, "rate_limit_error")
    assert everybody.headers["RateLimit"].startswith('"user";r=48;')
    assert "RateLimit" not in service.token(jwt="junk").headers
