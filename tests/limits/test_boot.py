"""A limit that cannot be read, or a storage that cannot be opened, ends the start with words that help."""

from __future__ import annotations

import pytest

from service.core.environment import ConfigurationError
from service.limits.settings import LimitSettings


def problem(**variables: str) -> tuple[str, str]:
    """Expect one problem with these variables; give the variable it names, and its words."""
    with pytest.raises(ConfigurationError) as refused:
        LimitSettings.from_environ(variables)
    (found,) = refused.value.problems
    return found.variable, found.message


@pytest.mark.parametrize("variable", ["RATE_LIMIT_PER_USER", "RATE_LIMIT_GLOBAL", "RATE_LIMIT_FAILED_AUTH"])
@pytest.mark.parametrize(
    "limit", ["5/min", "5", "5/week", "ten/minute", "0/minute", "5/minute;", "1/100 year", "9999999999/day"]
)
def test_a_limit_that_would_not_hold_is_refused(variable: str, limit: str) -> None:
    """With the variable's name and the right notation."""
    name, message = problem(**{variable: limit})
    assert name == variable
    assert "10/minute;100/hour" in message


@pytest.mark.parametrize(
    ("tiers", "says"),
    [
        ("pro=60/minute", "is not JSON"),
        ('["pro"]', "must be an object"),
        ('{"pro": 60}', "must be an object"),
        ('{"pro": "60/min"}', "tier 'pro' is not a limit"),
        ('{"free": "1/minute", "pro": "0/hour"}', "tier 'pro' would admit no request"),
    ],
)
def test_a_tier_that_would_not_hold_is_refused(tiers: str, says: str) -> None:
    """With the tier's name and the right notation."""
    name, message = problem(RATE_LIMIT_TIERS=tiers)
    assert name == "RATE_LIMIT_TIERS"
    assert says in message
    assert "60/minute" in message or "10/minute" in message


def test_every_problem_is_named_at_once() -> None:
    """Nobody should have to start five times."""
    variables = (
        "RATE_LIMIT_PER_USER",
        "RATE_LIMIT_GLOBAL",
        "RATE_LIMIT_TIERS",
        "RATE_LIMIT_STRATEGY",
        "RATE_LIMIT_FAILED_AUTH",
    )
    with pytest.raises(ConfigurationError) as refused:
        LimitSettings.from_environ(dict.fromkeys(variables, "junk"))
    assert {problem.variable for problem in refused.value.problems} == set(variables)
