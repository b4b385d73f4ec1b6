"""A limit that cannot be read, or a storage that cannot be opened, ends the start with words that help."""

from __future__ import annotations

import pytest

from service.core.environment import ConfigurationError
from service.limits.settings import LimitSettings
from service.limits.storage import mask_url


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
        ('{"free": "1/minute", "pro": "0/hour"}', "tier 'pro' would admit nobody"),
    ],
)
def test_a_tier_that_would_not_hold_is_refused(tiers: str, says: str) -> None:
    """With the tier's name and the right notation."""
    name, message = problem(RATE_LIMIT_TIERS=tiers)
    assert name == "RATE_LIMIT_TIERS"
    assert says in message
    assert "60/minute" in message or "10/minute" in message


@pytest.mark.parametrize("variable", ["RATE_LIMIT_STORAGE_URL", "REDIS_URL"])
@pytest.mark.parametrize(
    "url",
    [
        "ftp://u:hunter2@host",
        "hunter2",
        "redis://u:hunter2@host:port",
        "redis://u:hunter2@[::1",
        "memcached://hunter2",
        "redis+sentinel://u:hunter2@host:26379",
        "async+redis://u:hunter2@host",
        "concealed://hunter2",
    ],
)
def test_a_storage_that_cannot_be_opened_is_refused_without_its_password(variable: str, url: str) -> None:
    """The URL is not repeated at all."""
    name, message = problem(**{variable: url})
    assert name == variable
    assert "redis://HOST:6379" in message
    assert "hunter2" not in message


def test_a_storage_whose_package_is_missing_is_refused_by_name() -> None:
    """The library would fail at the first request otherwise."""
    name, message = problem(RATE_LIMIT_STORAGE_URL="memcached://host:11211")
    assert name == "RATE_LIMIT_STORAGE_URL"
    assert message == "needs the Python package for memcached://, which is not installed"


def test_every_problem_is_named_at_once() -> None:
    """Nobody should have to start five times."""
    variables = (
        "RATE_LIMIT_PER_USER",
        "RATE_LIMIT_GLOBAL",
        "RATE_LIMIT_TIERS",
        "RATE_LIMIT_STRATEGY",
        "REDIS_URL",
    )
    with pytest.raises(ConfigurationError) as refused:
        LimitSettings.from_environ(dict.fromkeys(variables, "junk"))
    assert {problem.variable for problem in refused.value.problems} == set(variables)


def test_no_connection_is_made_at_start() -> None:
    """A socket made before a fork would be shared by the workers."""
    settings = LimitSettings.from_environ({"REDIS_URL": "redis://127.0.0.1:1"})
    assert settings.storage_url.get_secret_value() == "redis://127.0.0.1:1"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/1", "redis://host:6379/1"),
        ("redis://:hunter2@host:6379", "redis://***@host:6379"),
        ("rediss://user:hunter2@host:6379/0?password=hunter2", "rediss://***@host:6379/0?***"),
        ("redis://user:hunt@er2@host", "redis://***@host"),
        ("redis://:hunt?er2@host", "redis://***"),
        ("redis+sentinel://:hunter2@a:1,b:2/main", "redis+sentinel://***@a:1,b:2/main"),
        ("memory://", "memory://"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url: str, shown: str) -> None:
    """User, password and options."""
    assert mask_url(url) == shown
