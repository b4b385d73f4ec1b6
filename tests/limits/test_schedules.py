"""Whatever a client's timing, no strategy admits more than its documented bound, and no wait is a lie.

The bounds, for a limit of N in a window's length W:

- ``moving-window``: N in any span shorter than W.
- ``fixed-window``: N in each window, which begins with its first request; so 2N in any span of W.
- ``sliding-window-counter``: N in each window; 2N in any span of W, which takes a burst at one window's end
  and another at the very end of the next.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from service.core.errors import RateLimitedError
from service.limits.counter import create_counter
from service.limits.rules import Bucket, Window
from service.store.protocol import KEY_PREFIX
from tests.support.limits import STRATEGIES, Client, client, limits, make_store
from tests.support.limits import Clock as StandingClock
from tests.support.redis import RedisServer

PAUSES = st.one_of(
    st.just(0.0),
    st.floats(0.001, 0.05),
    st.floats(0.05, 12),
    st.sampled_from([1.0, 2.0, 4.0, 5.0, 9.999, 10.0]),
)
LIMITS = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([1, 2, 5, 10])), min_size=1, max_size=3)
SCHEDULES = st.lists(PAUSES, min_size=5, max_size=60)


class Clock(Protocol):
    """Time, as the storage sees it."""

    def now(self) -> float:
        """Seconds since some moment."""

    def step(self, seconds: float) -> None:
        """Let time pass."""


class MemoryClock(StandingClock):
    """The memory's own clock, which stands still between steps."""

    def now(self) -> float:
        return self.seconds

    def step(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class AgingRedis:
    """A Redis in which time passes by making everything older: shorter lives, earlier log entries."""

    redis: Redis
    skipped: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        return self.skipped + time.monotonic() - self.started

    def step(self, seconds: float) -> None:
        milliseconds = round(seconds * 1000)
        self.skipped += milliseconds / 1000
        for key in self.redis.scan_iter():
            left = self.redis.pttl(key) - milliseconds
            if left <= 0:
                self.redis.delete(key)
                continue
            if self.redis.type(key) == b"list":
                older = [float(entry) - milliseconds / 1000 for entry in self.redis.lrange(key, 0, -1)]
                self.redis.delete(key)
                self.redis.rpush(key, *(f"{entry:.6f}" for entry in older))
            self.redis.pexpire(key, left)


def notation(windows: Sequence[tuple[int, int]]) -> str:
    """Write limits as an admin does."""
    return ";".join(f"{amount} per {length} second" for amount, length in windows)


class Admission(NamedTuple):
    """A request that was admitted at some moment between these two; in a frozen clock they are one."""

    asked: float
    answered: float


def most_in_any_span(admissions: Sequence[Admission], length: float) -> int:
    """Count the most that were certainly within one span of this length, its end excluded."""
    return max(
        sum(start.asked <= other.asked and other.answered < start.asked + length for other in admissions)
        for start in admissions
    )


def most_in_windows_from_first(admissions: Sequence[Admission], length: float) -> int:
    """Count the most in windows that each begin with the first admission after the one before."""
    most = count = 0
    end = float("-inf")
    for admission in admissions:
        count, end = (count + 1, end) if admission.answered < end else (1, admission.asked + length)
        most = max(most, count)
    return most


def most_in_adjoining_windows(admissions: Sequence[Admission], length: float) -> int:
    """Count the most in windows of which the first begins with a request and each next one where that ended.

    After a whole window without a request the next request begins anew.
    """
    windows: Counter[float] = Counter()
    start = float("-inf")
    for asked, _ in admissions:
        passed = (asked - start) // length
        start = asked if passed >= 2 else start + passed * length
        windows[start] += 1
    return max(windows.values())


def check_bound(strategy: str, admissions: Sequence[Admission], amount: int, length: float) -> None:
    """Hold a strategy to what it promises for any span; storages count in milliseconds, so two are left out."""
    bound = amount if strategy == "moving-window" else 2 * amount
    assert most_in_any_span(admissions, length - 0.002) <= bound


def run(user: Client, clock: Clock, pauses: Sequence[float]) -> list[Admission]:
    """Ask after each pause; give the admissions, holding each refusal to its promise."""
    admissions = []
    for pause in pauses:
        clock.step(pause)
        asked = clock.now()
        if isinstance(answer := user.ask(), RateLimitedError):
            wait = answer.retry_after or 0.0
            clock.step(wait)
            asked = clock.now()
            assert user.is_admitted(), f"refused again after waiting {wait} s"
        admissions.append(Admission(asked, clock.now()))
    return admissions


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(deadline=None)
@given(windows=LIMITS, pauses=SCHEDULES)
def test_memory_keeps_its_bounds(strategy: str, windows: list[tuple[int, int]], pauses: list[float]) -> None:
    """With the clock stepped, and several windows at once."""
    clock = MemoryClock()
    admissions = run(client(limits(clock, per_user=notation(windows), strategy=strategy)), clock, pauses)
    for amount, length in windows:
        check_bound(strategy, admissions, amount, length)
        if strategy == "fixed-window":
            assert most_in_windows_from_first(admissions, length) <= amount
        if strategy == "sliding-window-counter":
            assert most_in_adjoining_windows(admissions, length) <= amount


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(windows=LIMITS, pauses=st.lists(PAUSES, min_size=5, max_size=25))
def test_redis_keeps_its_bounds(
    redis: RedisServer, strategy: str, windows: list[tuple[int, int]], pauses: list[float]
) -> None:
    """The same of the scripts, on a real server."""
    redis.client.flushall()
    user = client(limits(redis.url, per_user=notation(windows), strategy=strategy))
    admissions = run(user, AgingRedis(redis.client), pauses)
    for amount, length in windows:
        check_bound(strategy, admissions, amount, length)


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(deadline=None)
@given(windows=LIMITS, pauses=SCHEDULES, early=st.floats(0.01, 0.5))
def test_a_wait_is_no_longer_than_it_must_be(
    strategy: str, windows: list[tuple[int, int]], pauses: list[float], early: float
) -> None:
    """Who comes a little too early is refused again: nobody is kept waiting for nothing."""
    clock = MemoryClock()
    user = client(limits(clock, per_user=notation(windows), strategy=strategy))
    for pause in pauses:
        clock.step(pause)
        answer = user.ask()
        if isinstance(answer, RateLimitedError) and (answer.retry_after or 0.0) > early:
            clock.step((answer.retry_after or 0.0) - early)
            assert not user.is_admitted()


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(deadline=None)
@given(windows=LIMITS, pauses=SCHEDULES)
def test_what_is_said_to_be_left_is_left(
    strategy: str, windows: list[tuple[int, int]], pauses: list[float]
) -> None:
    """A client may at once send as many requests as ``r`` says, and not one more."""
    clock = MemoryClock()
    user = client(limits(clock, per_user=notation(windows), strategy=strategy))
    for pause in pauses:
        clock.step(pause)
        user.is_admitted()
    user.uses_up()
    clock.step(user.is_refused().retry_after or 0.0)
    left = user.limits.acquire(user.caller).remaining
    assert user.uses_up() == left


def test_in_its_last_millisecond_a_count_does_not_come_back(redis: RedisServer) -> None:
    """Faded away, it counted in full once more while Redis said that it has 0 ms left: a wait ended in a refusal."""
    window = Window(5, 1)
    counter = create_counter(make_store(redis.url, on_failure="deny"), "sliding-window-counter")
    redis.client.flushall()
    for number in range(120):
        bucket = Bucket("user", f"user-{number}", window)
        redis.client.set(f"{KEY_PREFIX}/sliding-window-counter/{bucket.key}", 5, px=3)
        end = time.perf_counter() + 0.0022 + (number % 20) * 0.0001
        while time.perf_counter() < end:
            pass
        assert counter.acquire([bucket]).admitted
