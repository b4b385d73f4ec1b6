"""What features see of the storage: keys, Lua scripts and times.

A feature (limits, single use, calls, revocations) has one implementation for each kind of store: Lua scripts for a
``RedisStore``, code under the lock of a ``MemoryStore``. ``isinstance(store, MemoryStore)`` tells which one it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

from service.store.memory import MemoryStore

KEY_PREFIX: Final = "{realtime-token}"
"""Begins every key. A Redis cluster keeps all keys with one hash tag on one node, so any script may use any of them
(https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags)."""

StoreState = Literal["ok", "unavailable"]
Topology = Literal["single", "sentinel", "cluster"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script. ``name`` is for people: Redis knows a script by the hash of its source."""

    name: str
    source: str = field(repr=False)


class RedisStore(Protocol):
    """One Redis or Valkey server, its Sentinels or a cluster; one client, one pool of connections, one breaker."""

    @property
    def fallback(self) -> MemoryStore | None:
        """The memory to use while Redis is unavailable; none with ``RATE_LIMIT_ON_STORAGE_FAILURE=deny``."""

    @property
    def state(self) -> StoreState:
        """Whether Redis answers, as far as the calls so far have shown."""

    @property
    def topology(self) -> Topology:
        """What kind of Redis it is. A cluster behind ``redis://`` is recognised at its first answer."""

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | float] = ()) -> Any:
        """Run a script, in one round trip. ``keys`` are whole names, each beginning with ``KEY_PREFIX``.

        Raises:
            StorageFailureError: Redis failed, or is known to be unavailable. A caller may use ``fallback`` instead.
            StorageBusyError: no connection of our own pool was free within 5 s. Redis is not to blame and other
                processes count there, so ``fallback`` would exceed a limit: let this one through.
        """

    def call(self, operation: Callable[[Any], T]) -> T:
        """Run one command of a library that brings its own client over ``connection_pool``; raises as ``run`` does.

        ``operation`` is given our client, and called anew where Redis turns out to be a cluster.
        """

    @property
    def connection_pool(self) -> Any:
        """The pool, to be used within ``call`` only; ``None`` for a cluster, which has one for each node."""

    def probe(self) -> StoreState:
        """Write to Redis now, unless it is known to be unavailable, and return its state."""


Store: TypeAlias = MemoryStore | RedisStore
