"""One Redis or Valkey: its client, a bounded pool, and a breaker before them.

A request first waits for one of a few connections, at most ``CONNECTION_WAIT``. Only from then on does the storage's
own time run (``STORAGE_TIME``): a queue of our own never looks like a dead server.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

from redis import ConnectionPool, Redis, RedisCluster
from redis.commands.core import Script as RegisteredScript
from redis.exceptions import ClusterCrossSlotError, MovedError, NoScriptError

from service.core.deadline import turning_deadline
from service.core.errors import StorageBusyError, StorageFailureError
from service.store.breaker import Breaker
from service.store.memory import MemoryStore
from service.store.protocol import KEY_PREFIX, Script, StoreState, Topology
from service.store.redis_errors import FAILURES, describe_failure, is_own_bug
from service.store.redis_url import open_client, open_cluster, parse_redis_url

CONNECTIONS: Final = 8
"""Maximum number of connections of one process to one server.

Each is held for well under a millisecond, and small plans allow 20 in all.
"""

CONNECTION_WAIT: Final = 5.0
"""Seconds one request may wait for a connection of our own pool."""

STORAGE_TIME: Final = 0.7
"""Seconds one request may hold a connection: connecting, name lookup and every step included."""

Client = Redis | RedisCluster
T = TypeVar("T")

_PROBE = Script("probe", "return redis.call('SET', KEYS[1], '1', 'PX', 1000)")


class PooledRedis:
    """A ``RedisStore`` (see ``service.store.protocol``). Nothing is connected before the first call.

    ``on_heroku`` says that ``rediss://`` is Heroku's, whose certificates cannot be verified.
    """

    def __init__(self, url: str, *, on_heroku: bool = False, fallback: MemoryStore | None = None) -> None:
        self.fallback = fallback
        self._url = parse_redis_url(url, verify=not on_heroku)
        self._is_cluster = self._url.kind == "cluster"
        # A cluster's client connects as soon as it is made, so it waits for the first call.
        self._client: Client | None = (
            None if self._is_cluster else open_client(self._url, connections=CONNECTIONS)
        )
        # A queue and no semaphore: gevent replaces both, and its queue is the cheaper and wakes in order.
        self._slots: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(self._url.connections(CONNECTIONS)):
            self._slots.put(None)
        self._breaker = Breaker(self._try_writing)
        self._joining = threading.Lock()

    @property
    def state(self) -> StoreState:
        """Whether Redis answers, as far as the calls so far have shown."""
        return "unavailable" if self._breaker.is_open else "ok"

    @property
    def topology(self) -> Topology:
        """What kind of Redis it is, as far as its answers so far have shown."""
        return "cluster" if self._is_cluster else self._url.kind

    @property
    def connection_pool(self) -> ConnectionPool | None:
        """The pool, for libraries that bring a client of their own; a cluster has none.

        To be used within ``call`` only, since the pool itself does not wait for a free connection.
        """
        return self._client.connection_pool if isinstance(self._client, Redis) else None

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | float] = ()) -> Any:
        """Run a script in one round trip; see ``RedisStore.run``."""
        return self.call(lambda client: self._run(client, script, keys, arguments))

    def call(self, operation: Callable[[Client], T]) -> T:
        """Hold a connection's place while ``operation`` uses the client, for one command at a time.

        Raises:
            StorageFailureError: Redis failed, or is known to be unavailable.
            StorageBusyError: no place was free within ``CONNECTION_WAIT``.
        """
        self._raise_if_unavailable()
        self._wait_for_slot()
        try:
            self._raise_if_unavailable()  # it may have gone while this one waited
            return self._attempt(operation)
        except FAILURES as error:
            if is_own_bug(error):
                raise
            self._breaker.open(error)
            raise StorageFailureError(f"the storage failed: {describe_failure(error)}") from error
        finally:
            self._slots.put(None)

    def probe(self) -> StoreState:
        """Write to Redis now, unless it is known to be unavailable, and return its state."""
        try:
            self.run(_PROBE, [f"{KEY_PREFIX}/probe"])
        except (StorageFailureError, StorageBusyError):
            return self.state
        return self.state

    def _wait_for_slot(self) -> None:
        try:
            self._slots.get(timeout=CONNECTION_WAIT)
        except queue.Empty:
            raise StorageBusyError(
                f"no connection of the storage's pool was free within {CONNECTION_WAIT:g} s"
            ) from None

    def _attempt(self, operation: Callable[[Client], T]) -> T:
        with turning_deadline(STORAGE_TIME):
            client = self._client  # another request may replace it meanwhile
            if client is None:
                return operation(self._join_cluster())
            try:
                return operation(client)
            except (MovedError, ClusterCrossSlotError):
                if isinstance(client, RedisCluster):
                    raise
                return operation(self._join_cluster())

    def _join_cluster(self) -> Client:
        """Replace a plain client that a cluster's node sent elsewhere, or make the first one."""
        self._is_cluster = True
        with self._joining:
            if not isinstance(self._client, RedisCluster):
                self._client = open_cluster(self._url)
            return self._client

    def _run(
        self, client: Client, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | float]
    ) -> Any:
        if self._is_cluster:  # quicker than to look at the client, whose class is a protocol
            # A cluster's client does as well as the one it asks for.
            return RegisteredScript(cast("Redis", client), script.source.encode())(keys=keys, args=arguments)
        # By a connection: the client's way through its commands costs as much again as the round trip itself.
        pool = cast("Redis", client).connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_command("EVALSHA", _digest(script.source), len(keys), *keys, *arguments)
            return connection.read_response()
        except NoScriptError:
            connection.send_command("EVAL", script.source, len(keys), *keys, *arguments)
            return connection.read_response()
        finally:
            pool.release(connection)

    def _try_writing(self) -> None:
        """Prove that Redis works: one that is full, or a replica, answers a ping and still cannot count."""
        self._wait_for_slot()
        try:
            self._attempt(lambda client: self._run(client, _PROBE, [f"{KEY_PREFIX}/probe"], ()))
        finally:
            self._slots.put(None)

    def _raise_if_unavailable(self) -> None:
        if self._breaker.is_open:
            raise StorageFailureError("the storage is unavailable")


@lru_cache(maxsize=64)  # scripts are few
def _digest(source: str) -> str:
    """Return the name by which Redis knows a script (https://redis.io/docs/latest/commands/evalsha/)."""
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
