"""Registries of both kinds whose clocks a test may set, and calls to keep in them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script as RegisteredScript
from redis.retry import Retry

from service.budgets import parse_minutes
from service.calls.endings import KeeperEvents, Outcome, VendorCalls
from service.calls.keeper import Keeper
from service.calls.memory_registry import MemoryCalls
from service.calls.model import Call, CallLimits, CallRequest, CallType, Poll, PollRequest
from service.calls.redis_registry import RedisCalls
from service.calls.registry import CallRegistry
from service.core.errors import StorageFailureError
from tests.support.redis import RedisServer

OPENING_SECONDS = 15
_users = count()


class Clock:
    """The time of a storage, in seconds since the epoch: one that stands still, or the system's where none is given."""

    def __init__(self, stands_at: float | None = None) -> None:
        self.stands_at = stands_at
        self.ahead = 0.0

    def now(self) -> float:
        return self.ahead + (time.time() if self.stands_at is None else self.stands_at)

    def milliseconds(self) -> int:
        return int(1000 * self.now())

    def advance(self, seconds: float) -> None:
        self.ahead += seconds


class Memory:
    """What the registry in memory needs of a store."""

    def __init__(self, clock: Clock) -> None:
        self.lock = threading.RLock()
        self.now = clock.now
        self.get: Callable[[str], Any] = {}.get


class Scripts:
    """Runs scripts as the service's store does; counts the round trips."""

    def __init__(self, server: RedisServer, seconds: float = 5) -> None:
        self.client = redis.Redis(port=server.port, socket_timeout=seconds, retry=Retry(NoBackoff(), 0))
        self.round_trips = 0
        self._registered: dict[str, RegisteredScript] = {}

    def run(self, script: Any, keys: Sequence[str], arguments: Sequence[str | float]) -> Any:
        self.round_trips += 1
        registered = self._registered.setdefault(script.name, self.client.register_script(script.source))
        try:
            return registered(keys, arguments)
        except redis.RedisError as error:
            raise StorageFailureError(str(error)) from error


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
    server: RedisServer,
    clock: Clock | None = None,
    *,
    opening_seconds: float = OPENING_SECONDS,
    seconds: float = 5,
) -> RedisCalls:
    """Make a registry on a server, which has so many seconds to answer; without a clock its time is the server's."""
    read: Callable[[], int] | None = clock.milliseconds if clock else None
    return RedisCalls(Scripts(server, seconds), opening_seconds=opening_seconds, clock=read)


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


class Vendor:
    """Answers as it is told for each call: with outcomes one after the other, the last one for ever."""

    def __init__(self, *, takes: float = 0.0) -> None:
        self.takes = takes
        self.answers: dict[str, list[Outcome | Exception]] = {}
        self.hanging: set[str] = set()
        self.free = threading.Event()
        self.attempts: list[Attempt] = []
        self.checks: list[str] = []

    @property
    def calls(self) -> VendorCalls:
        return VendorCalls(end=self.end, check=self.check)

    def end(self, call: Call) -> Outcome:
        attempt = Attempt(call.id, time.monotonic())
        self.attempts.append(attempt)
        if call.id in self.hanging:
            self.free.wait(30)
        else:
            time.sleep(self.takes)
        attempt.ended = time.monotonic()
        return self._answer(call, Outcome("ended"))

    def check(self, call: Call) -> Outcome:
        self.checks.append(call.id)
        if call.id in self.hanging:
            self.free.wait(30)
        return self._answer(call, Outcome("running"))

    def _answer(self, call: Call, usual: Outcome) -> Outcome:
        answers = self.answers.get(call.id, [usual])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def attempts_at(self, call: Call) -> int:
        return sum(attempt.call_id == call.id for attempt in self.attempts)


@dataclass
class Attempt:
    """One request to end a call: which, and from when to when (``time.monotonic``)."""

    call_id: str
    began: float
    ended: float | None = None


class Heard(KeeperEvents):
    """Remembers what a keeper tells."""

    def __init__(self) -> None:
        self.endings: list[Call] = []
        self.losses: list[Call] = []
        self.lateness: list[float] = []
        self.failures: list[tuple[str, str]] = []
        self.given_up: list[str] = []

    def ended(self, call: Call) -> None:
        self.endings.append(call)

    def lost(self, call: Call) -> None:
        self.losses.append(call)

    def late(self, seconds: float) -> None:
        self.lateness.append(seconds)

    def failed(self, call: Call, reason: str) -> None:
        self.failures.append((call.id, reason))

    def gave_up(self, call: Call) -> None:
        self.given_up.append(call.id)


@contextmanager
def keeping(
    registry: CallRegistry, vendor: Vendor, *, check_seconds: float = 0, heard: Heard | None = None
) -> Iterator[Keeper]:
    """Run a keeper until the block ends."""
    keeper = Keeper(registry, vendor.calls, check_seconds=check_seconds, events=heard)
    keeper.start()
    try:
        yield keeper
    finally:
        vendor.free.set()
        keeper.stop(2)
