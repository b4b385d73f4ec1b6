"""Where limits are counted: reading, checking, masking and opening ``RATE_LIMIT_STORAGE_URL``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from limits._storage_scheme import SCHEMES
from limits.errors import ConfigurationError
from limits.storage import (
    RedisClusterStorage,
    RedisSentinelStorage,
    RedisStorage,
    Storage,
    storage_from_string,
)
from limits.strategies import STRATEGIES
from pydantic import SecretStr

from service.core.deadline import gevent_bounds_sockets
from service.limits.local import LocalStorage

TIMEOUT: Final = 0.4
"""Seconds for connecting, for each answer, and for a free connection, where no ``deadline`` bounds the whole."""

CONNECTIONS: Final = 8
"""To one server, a process: each is held for well under a millisecond, and small plans allow 20 in all."""

_BOUNDS: Final[Mapping[str, Mapping[str, float]]] = {
    "memcached": {"connect_timeout": TIMEOUT, "timeout": TIMEOUT},
    **dict.fromkeys(
        ("mongodb", "mongodb+srv"),
        dict.fromkeys(("serverSelectionTimeoutMS", "connectTimeoutMS", "socketTimeoutMS"), 1000 * TIMEOUT),
    ),
}
"""What keeps each step of the other storages short, in the words of their libraries."""

CONCEALED: Final = "concealed"

_EXAMPLE = "write for example redis://HOST:6379 or memory://"


def counts_in_process(url: str) -> bool:
    """Tell whether the storage is this process's own memory, so that limits hold for one process only."""
    return urlsplit(url).scheme == "memory"


def mask_url(url: str) -> str:
    """Show a storage URL without what may be secret: user, password and options."""
    scheme, _, rest = url.partition("://")
    place, _, options = rest.partition("?")
    if "@" in options:  # somebody's password holds a question mark, so nothing here is where it seems
        return f"{scheme}://***"
    credentials, at, host = place.rpartition("@")
    return f"{scheme}://{'***' if credentials else ''}{at}{host}{'?***' if options else ''}"


def check_storage_url(url: SecretStr) -> SecretStr:
    """Accept a URL that the ``limits`` library can open, with nothing missing. Nothing is connected.

    Raises:
        ValueError: saying what is wrong; the URL itself, which may hold a password, is not repeated.
    """
    text = url.get_secret_value().strip()
    try:
        scheme = urlsplit(text).scheme
    except ValueError:
        raise ValueError(f"is not a URL; {_EXAMPLE}") from None
    if scheme not in SCHEMES or scheme.startswith("async+") or scheme == CONCEALED:
        raise ValueError(f"is not a storage URL; {_EXAMPLE}")
    try:
        # A cluster's client connects as soon as it is made.
        if "cluster" not in scheme:
            open_storage(text, "fixed-window")
    except ConfigurationError as error:
        if "prerequisite not available" in str(error):
            raise ValueError(f"needs the Python package for {scheme}://, which is not installed") from None
        raise ValueError(f"is not a complete {scheme}:// URL; {_EXAMPLE}") from None
    except Exception:  # noqa: BLE001 - each library fails in its own way on a URL it cannot read
        raise ValueError(f"cannot be read as a {scheme}:// URL; {_EXAMPLE}") from None
    return SecretStr(text)


def check_strategy(strategy: str, url: str) -> None:
    """Check that the storage can count in this way.

    Raises:
        ValueError: where it cannot, such as a moving window on memcached.
    """
    storage = SCHEMES[urlsplit(url).scheme]
    needed = {"moving-window": "acquire_entry", "sliding-window-counter": "acquire_sliding_window_entry"}
    if strategy in needed and not hasattr(storage, needed[strategy]):
        possible = [name for name in STRATEGIES if hasattr(storage, needed.get(name, "incr"))]
        raise ValueError(f"is not possible with this storage; choose {' or '.join(possible)}")


def open_storage(url: str, strategy: str, *, on_heroku: bool = False) -> Storage:
    """Open a storage. Nothing is connected before the first request, so no socket crosses a fork.

    ``strategy`` is part of the keys: each keeps its own kind of value under them.

    ``on_heroku`` says that ``rediss://`` is Heroku's: its certificate is self-signed and cannot be verified
    (https://devcenter.heroku.com/articles/connecting-heroku-redis). Everywhere else certificates are.
    """
    # Valkey speaks Redis's protocol, and one client library is enough.
    url = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
    scheme = urlsplit(url).scheme
    kind: Any = SCHEMES[scheme]
    if counts_in_process(url):
        return LocalStorage()
    if not issubclass(kind, RedisStorage):
        return _opened(url, **_BOUNDS.get(scheme, {}))
    return _open_redis(url, kind, strategy, unverified=on_heroku and scheme == "rediss")


def _open_redis(url: str, kind: Any, strategy: str, *, unverified: bool) -> Storage:
    # Imported here: where limits are counted in memory, a tenth of the service's own memory is saved.
    from redis import BlockingConnectionPool  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    # The sockets' own timeouts cannot tell a slow server from a busy process, so they go where there is better.
    timeout = None if gevent_bounds_sockets() else TIMEOUT
    # A retry would double each bound, and the circuit breaker is there for failures.
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }
    prefix = f"{RedisStorage.PREFIX}:{strategy}"
    if unverified:
        options["ssl_cert_reqs"] = "none"
    if issubclass(kind, RedisClusterStorage | RedisSentinelStorage):
        return _opened(url, key_prefix=prefix, **options)
    # A new connection is used at once: telling the server our library's name would take two round trips more.
    options |= {"driver_info": None, "protocol": 2}
    # A pool that waits: 1,000 requests in flight must not open 1,000 connections.
    plain = url.replace("redis+unix", "unix", 1)
    pool = BlockingConnectionPool.from_url(plain, max_connections=CONNECTIONS, timeout=timeout, **options)
    return _opened(url, key_prefix=prefix, connection_pool=pool)


class ConcealedStorage(Storage):
    """The scheme under which Flask-Limiter opens our storage.

    The ``flask limiter`` command and some errors print the storage's URL and options. Here the URL is an option that
    masks itself, and what Flask-Limiter holds is the storage itself.
    """

    STORAGE_SCHEME: ClassVar[list[str]] = [CONCEALED]  # type: ignore[misc]

    def __new__(cls, _uri: str, *, url: SecretStr, strategy: str, on_heroku: bool = False) -> Storage:  # type: ignore[misc]
        """Open the storage that the URL names."""
        return open_storage(url.get_secret_value(), strategy, on_heroku=on_heroku)


def _opened(url: str, **options: Any) -> Storage:
    storage = storage_from_string(url, **options)
    if not isinstance(storage, Storage):
        raise ConfigurationError("an asynchronous storage cannot be used here")
    return storage
