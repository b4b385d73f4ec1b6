"""A storage that cannot be used ends the start with words that help, and without its password."""

from __future__ import annotations

import re

import pytest

from service.core.environment import ConfigurationError
from service.store.settings import StoreSettings, mask_url


def problem(**variables: str) -> tuple[str, str]:
    """Expect one problem with these variables; give the variable it names, and its words."""
    with pytest.raises(ConfigurationError) as refused:
        StoreSettings.from_environ(variables)
    (found,) = refused.value.problems
    return found.variable, found.message


@pytest.mark.parametrize("variable", ["RATE_LIMIT_STORAGE_URL", "REDIS_URL"])
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://u:hunter2@host", "is not the URL of a Redis or Valkey"),
        ("hunter2", "is not the URL of a Redis or Valkey"),
        ("memcached://hunter2", "is not the URL of a Redis or Valkey"),
        ("mongodb://u:hunter2@host", "is not the URL of a Redis or Valkey"),
        ("async+redis://u:hunter2@host", "is not the URL of a Redis or Valkey"),
        ("concealed://hunter2", "is not the URL of a Redis or Valkey"),
        ("redis://u:hunter2@host:port", "cannot be read"),
        ("redis://u:hunter2@[::1", "cannot be read"),
        ("redis://", "names no host"),
        ("redis://u:hunter2@host/cache", "the number of a database"),
        ("redis+sentinel://u:hunter2@host:26379", "names no service"),
        ("redis+cluster://u:hunter2@", "names no host"),
        ("redis://u:hunt/er2@host", "write / as %2F"),
        ("redis://u:hunt#er2@host", "# as %23"),
        ("redis://u:hunt?er2@host", "? as %3F"),
        ("redis://u:hunter2@host/0#x", "write it as %23"),
        ("redis://u:hunter2@host?socket_timeuot=1", "has the option socket_timeuot, which the Redis client"),
        ("redis+cluster://u:hunter2@host?nonsense=1", "has the option nonsense, which the Redis client"),
        ("rediss://u:hunter2@host?ssl_cert_reqs=maybe", "cannot use"),
        ("redis://u:hunter2@host?db=two", "cannot be read"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused_without_its_password(
    variable: str, url: str, says: str
) -> None:
    """With what is wrong, and an example; the URL is not repeated at all."""
    name, message = problem(**{variable: url})
    assert name == variable
    assert says in message
    assert re.search("; (write|in a|leave it out)", message)
    assert "hunter2" not in message
    assert "er2@" not in message


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "redis://host",
        "rediss://:p%40ss@host:6380/0?ssl_cert_reqs=none",
        "redis://user:hunt@er2@host:6379",
        "valkey://host",
        "valkeys://host",
        "redis+unix:///run/redis/socket",
        "redis+unix:///run/redis/socket?db=1",
        "redis+sentinel://:pw@a:1,b:2/main",
        "redis+cluster://a:7000,b:7001",
        "redis://host/name?db=2",
        "redis://host?max_connections=3&health_check_interval=30",
    ],
)
def test_a_redis_or_valkey_is_accepted(url: str) -> None:
    """Plain, encrypted, over a Unix socket, with Sentinels or as a cluster; a raw @ in a password does no harm."""
    assert StoreSettings.from_environ({"RATE_LIMIT_STORAGE_URL": url}).storage_url.get_secret_value() == url


def test_no_connection_is_made_at_start() -> None:
    """A socket made before a fork would be shared by the workers."""
    settings = StoreSettings.from_environ({"REDIS_URL": "redis://127.0.0.1:1"})
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
