"""Registries of both kinds whose clocks a test may set, and calls to keep in them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Protocol

import redis
from redis.commands.core import Script as RegisteredScript

from service.budgets import parse_minutes
from service.calls.memory_registry import MemoryCalls
from service.calls.model import Call, CallLimits, CallRequest, CallType, Poll, PollRequest
from service.calls.redis_registry import RedisCalls
from service.calls.registry import CallRegistry
from service.core.errors import RateLimitStorageUnavailableError
from tests.support.redis import RedisServer

OPENING_SECONDS = 15
_users = count()


class Clock:
    """The time of a storage: the system's, until a test sets it; in seconds since the epoch."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return time.time() if self.seconds is None else self.seconds

    def milliseconds(self) -> int:
        return int(1000 * self.now())

    def advance(self, seconds: float) -> None:
        self.seconds = self.now() + seconds


class Memory:
    """What the registry in memory needs of a store."""

    def __init__(self, clock: Clock) -> None:
        self.lock = threading.RLock()
        self.now = clock.now


class Scripts:
    """Runs scripts as the service's store does; counts the round trips."""

    def __init__(self, server: RedisServer) -> None:
        self.client = redis.Redis(port=server.port, socket_timeout=5)
        self.round_trips = 0
        self._registered: dict[str, RegisteredScript] = {}

    def run(self, script: Any, keys: Sequence[str], arguments: Sequence[str | float]) -> Any:
        self.round_trips += 1
        registered = self._registered.setdefault(script.name, self.client.register_script(script.source))
        try:
            return registered(keys, arguments)
        except redis.RedisError as error:
            raise RateLimitStorageUnavailableError("away", reason=str(error), retry_after=1) from error


class MakeRegistry(Protocol):
    """Makes a registry of one kind."""

    def __call__(
        self, clock: Clock | None = None, *, opening_seconds: float = OPENING_SECONDS
    ) -> CallRegistry: ...


def memory_calls(clock: Clock | None = None, *, opening_seconds: float = OPENING_SECONDS) -> MemoryCalls:
    """Make a registry in memory."""
    clock = clock or Clock()
    return MemoryCalls(Memory(clock), opening_seconds=opening_seconds, epoch=clock.now)


def redis_calls(
    server: RedisServer, clock: Clock | None = None, *, opening_seconds: float = OPENING_SECONDS
) -> RedisCalls:
    """Make a registry on a server; without a clock its time is the server's."""
    read: Callable[[], int] | None = clock.milliseconds if clock else None
    return RedisCalls(Scripts(server), opening_seconds=opening_seconds, clock=read)


def limits(
    calls: int = 1,
    at_limit: str = "replace",
    calls_global: int = 100,
    minutes: str | None = "60/day",
    minutes_global: str | None = None,
) -> CallLimits:
    """Make limits; minutes in the notation of the variables."""
    return CallLimits(
        calls,
        "refuse" if at_limit == "refuse" else "replace",
        calls_global,
        parse_minutes(minutes) if minutes else (),
        parse_minutes(minutes_global) if minutes_global else (),
    )


def new_user() -> str:
    """Make the pseudonym of another user."""
    return f"{next(_users):064x}"


def request(
    user: str | None = None, *, seconds: int = 600, kind: CallType = "live", **bounds: Any
) -> CallRequest:
    """Ask for a call, of a new user unless one is named."""
    return CallRequest(user or new_user(), kind, f"gpt-{kind}-1", seconds, limits(**bounds))


def opened(registry: CallRegistry, user: str | None = None, **asked: Any) -> Call:
    """Open a call as far as the registry goes."""
    call = registry.reserve(request(user, **asked)).call
    recorded = registry.record(call.id, f"up_{call.id}")
    assert recorded is not None
    return recorded


def poll(
    registry: CallRegistry,
    endings: int = 1000,
    *,
    lease: float = 2,
    check_every: float = 0,
    own: Sequence[str] = (),
) -> Poll:
    """Look for due calls."""
    return registry.poll(PollRequest(endings, 1000, lease, check_every, tuple(own)))
