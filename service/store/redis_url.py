"""Parse a Redis URL, and make its client. Nothing here connects, but ``open_cluster``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from redis import Connection, Redis, RedisCluster, SSLConnection
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import parse_url
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from service.core.deadline import gevent_bounds_sockets
from service.store.pool import StackPool

STEP_TIMEOUT: Final = 0.4
"""Seconds for connecting and for each answer, where no deadline bounds the whole (without gevent)."""

Kind = Literal["single", "sentinel", "cluster"]
_PORTS: Final = {"sentinel": 26379, "cluster": 6379}
_UNKNOWN_OPTION = re.compile(r"unexpected keyword argument '(\w+)'")


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A Redis URL, read. ``options`` are those of redis-py's connection, the password among them."""

    kind: Kind
    connection_class: type[Any] = field(default=Connection)
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    max_connections: int | None = None
    options: dict[str, Any] = field(default_factory=dict, repr=False)

    def connections(self, most: int) -> int:
        """How many connections may be open: the URL may name fewer than ``most``."""
        return min(most, self.max_connections or most)


def parse_redis_url(url: str, *, verify: bool = True) -> RedisUrl:
    """Read a URL, and try its options out as far as that goes without a server.

    ``verify=False`` accepts any certificate of ``rediss://`` (Heroku's are self-signed:
    https://devcenter.heroku.com/articles/connecting-heroku-redis).

    Raises:
        ValueError: saying what is wrong and what would be right, without a value.
    """
    # Valkey speaks Redis's protocol, and one client library is enough.
    url = url.strip().replace("valkey", "redis", 1) if url.strip().startswith("valkey") else url.strip()
    _check_credentials(url)
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    parsed = _parse_hosts(parts, kind) if kind in _PORTS else _parse_single(url, parts)
    if scheme == "rediss" and not verify:
        parsed.options.setdefault("ssl_cert_reqs", "none")
    _try_options(parsed)
    return parsed


def _parse_single(url: str, parts: SplitResult) -> RedisUrl:
    if "," in parts.netloc.rpartition("@")[2]:
        raise ValueError(
            "names several hosts; write redis+cluster://HOST,HOST for a cluster, or redis+sentinel://HOST,HOST/NAME"
        )
    options = parse_url(url.replace("redis+unix:", "unix:", 1))  # type: ignore[no-untyped-call]  # redis-py's is not typed
    if not options.get("host") and not options.get("path"):
        raise ValueError("names no host; write for example redis://HOST:6379")
    has_database = "path" in options or "db" in parse_qs(parts.query)
    if (database := parts.path.strip("/")) and not has_database and not database.isdecimal():
        raise ValueError("has a path that is not the number of a database, such as /0")
    most = options.pop("max_connections", None)
    connection_class = options.pop("connection_class", Connection)
    return RedisUrl("single", connection_class, max_connections=most, options=options)


def open_client(url: RedisUrl, *, connections: int) -> Redis:
    """Make the client of one server, or of the master that Sentinels name."""
    # A new connection is used at once: telling the server our library's name would take two round trips more.
    options = _bounds() | {"driver_info": None, "protocol": 2} | url.options
    most = url.connections(connections)
    if url.kind == "sentinel":
        sentinel = Sentinel(url.hosts, sentinel_kwargs=options, **options)  # type: ignore[no-untyped-call]  # redis-py's is not typed
        master: Redis = sentinel.master_for(url.service, max_connections=most)  # type: ignore[no-untyped-call]  # redis-py's is not typed
        return master
    pool = StackPool(connection_class=url.connection_class, max_connections=most, **options)
    return Redis(connection_pool=pool)


def open_cluster(url: RedisUrl) -> RedisCluster:
    """Connect to a cluster, by any of its nodes."""
    options = {name: value for name, value in url.options.items() if name not in {"host", "port", "db"}}
    hosts = url.hosts or ((url.options["host"], url.options.get("port", 6379)),)
    if issubclass(url.connection_class, SSLConnection):
        options["ssl"] = True
    nodes = [ClusterNode(host, port) for host, port in hosts]  # type: ignore[no-untyped-call]  # redis-py's is not typed
    return RedisCluster(
        startup_nodes=nodes,
        **(_bounds() | options),
    )


def _bounds() -> dict[str, Any]:
    """Bound each step, where no deadline bounds the whole: a socket's timeout takes a busy process for a slow server.

    A retry would double each bound, and the breaker is there for failures.
    """
    timeout = None if gevent_bounds_sockets() else STEP_TIMEOUT
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }


def _check_credentials(url: str) -> None:
    scheme, _, rest = url.partition("://")
    if scheme.endswith("+unix"):
        return
    before, delimiter, after = re.match(r"([^/?#]*)([/?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]  # matches any text
    if "@" in after and "@" not in before:
        raise ValueError(
            f"has a raw {delimiter} before its @; in a user name or password write / as %2F, ? as %3F, # as %23, "
            "@ as %40 and % as %25"
        )
    if "#" in rest:
        raise ValueError("has a raw #, after which a URL ends; in a password write it as %23")


def _parse_hosts(parts: SplitResult, kind: str) -> RedisUrl:
    """Read ``redis+sentinel://user:password@host:port,host:port/service?option=value``."""
    credentials, _, netloc = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    hosts = []
    for place in netloc.split(","):
        split = urlsplit(f"//{place}")
        if not split.hostname:
            raise ValueError(f"names no host; write for example redis+{kind}://HOST:{_PORTS[kind]}")
        hosts.append((split.hostname, split.port or _PORTS[kind]))
    options = parse_url(f"redis://?{parts.query}")  # type: ignore[no-untyped-call]  # redis-py's is not typed
    most = options.pop("max_connections", None)
    options |= {name: unquote(value) for name, value in (("username", user), ("password", password)) if value}
    service = parts.path.strip("/")
    if kind == "sentinel":
        if not service:
            raise ValueError("names no service; write for example redis+sentinel://HOST:26379/mymaster")
        return RedisUrl(
            "sentinel", hosts=tuple(hosts), service=service, max_connections=most, options=options
        )
    return RedisUrl("cluster", hosts=tuple(hosts), max_connections=most, options=options)


def _try_options(url: RedisUrl) -> None:
    """Make a connection object, which connects nothing: redis-py finds unknown options only there."""
    try:
        url.connection_class(**url.options)
    except TypeError as error:
        unknown = _UNKNOWN_OPTION.search(str(error))
        if not unknown:
            raise ValueError("has an option of the wrong type") from None
        raise ValueError(
            f"has the option {unknown[1]}, which the Redis client does not know; leave it out"
        ) from None
    except (RedisError, ValueError):
        raise ValueError("has an option with a value that the Redis client cannot use") from None
