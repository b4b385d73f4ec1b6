"""A pool of Redis connections that only keeps them: how many are in use is bounded by the store's slots."""

from __future__ import annotations

from typing import Any

from redis import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


class StackPool(ConnectionPool):
    """Idle connections in a stack: the one used last comes first, so that few are opened. Safe to share.

    At each use redis-py's own pools take two locks, publish an event, count for its metrics, and ask for the
    process's id: that costs a third of a round trip's CPU. Nothing is connected here before a fork.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._idle: list[Any] = []

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return a connection that is open, and on which nothing waits to be read; raises as redis-py's pools do."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.make_connection()
        try:
            _make_ready(connection)
        except BaseException:  # a deadline that passes is no Exception
            self.release(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        """Keep a connection for its next use."""
        self._idle.append(connection)

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Close the idle connections; those in use are their users' to release."""
        del inuse_connections
        for connection in tuple(self._idle):
            connection.disconnect()


def _make_ready(connection: Any) -> None:
    """Open a connection where it is not, or anew where the server has closed it meanwhile."""
    connection.connect()
    try:
        if not connection.can_read():
            return
    except (RedisConnectionError, RedisTimeoutError, OSError):
        pass
    connection.disconnect()
    connection.connect()
