"""Several processes on one Redis: exact at once, and sound wherever one of them is killed."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest

from service.budgets import MinuteLimit
from service.calls.registry import CallRegistry
from tests.support.calls import Heard, Vendor, keeping, new_user, opened, poll, redis_calls
from tests.support.processes import PYTHON, ROOT, bare_environ, wait_until
from tests.support.redis import RedisServer

A_DAY = (MinuteLimit(60_000, 86_400),)


class Opening:
    """A process of ``opening_process.py``, ready to begin."""

    def __init__(self, stack: ExitStack, **given: Any) -> None:
        arguments = {
            "openings": 1,
            "at_limit": "replace",
            "calls": 1,
            "opening_seconds": 15,
            "die": None,
            **given,
        }
        self.process = stack.enter_context(
            subprocess.Popen(
                [PYTHON, "-m", "tests.calls.opening_process", json.dumps(arguments)],
                cwd=ROOT,
                env=bare_environ(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(self.process.kill)
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def begin(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def finish(self) -> list[str]:
        """Return what became of its openings."""
        assert self.process.stdout
        states = self.process.stdout.read().split()
        self.process.wait(20)
        return states


@pytest.fixture
def registry(redis: RedisServer) -> CallRegistry:
    """Give the registry on an empty Redis, with its own clock."""
    redis.client.flushall()
    return redis_calls(redis, opening_seconds=0.5)


@pytest.mark.parametrize("at_limit", ["replace", "refuse"])
@pytest.mark.parametrize("slots", [1, 3])
def test_fifty_openings_at_once_leave_exactly_the_users_calls(
    redis: RedisServer, registry: CallRegistry, at_limit: str, slots: int
) -> None:
    """Over four processes; the rest is refused, or ends."""
    user = new_user()
    given = {"port": redis.port, "user": user, "at_limit": at_limit, "calls": slots}
    with ExitStack() as stack:
        processes = [Opening(stack, openings=openings, **given) for openings in (13, 13, 12, 12)]
        for process in processes:
            process.begin()
        states = Counter(state for process in processes for state in process.finish())
    assert states.total() == 50
    assert len(registry.list_calls(states=("open",), user=user)) == slots
    if at_limit == "refuse":
        assert states == {"open": slots, "refused": 50 - slots}
        assert registry.counts().active == slots
        assert registry.minutes(user, A_DAY)[0].left == 60_000 - 600 * slots
    else:
        assert states["refused"] == 0
        assert registry.counts().active == 50
        ending = [call for call in registry.list_calls(user=user) if call.state == "ending"]
        assert {call.ended_by for call in ending} == {"replaced"}
        # Each of them is due at the vendor, the one whose id was recorded only after its replacement too.
        assert {claim.call.id for claim in poll(registry).claims} == {call.id for call in ending}
        for call in ending:
            registry.confirm(call.id, "replaced")
        assert registry.minutes(user, A_DAY)[0].left == 60_000 - 600 * slots - 15 * (50 - slots)


def killed_at(point: str, redis: RedisServer, user: str) -> None:
    """Open a call in a process that is killed at a point."""
    with ExitStack() as stack:
        process = Opening(stack, port=redis.port, user=user, die=point, opening_seconds=0.5)
        process.begin()
        process.process.wait(20)
        assert process.process.returncode == -9


def test_killed_before_the_reservation_nothing_is_taken(redis: RedisServer, registry: CallRegistry) -> None:
    user = new_user()
    killed_at("before-reservation", redis, user)
    assert registry.counts().active == 0
    assert registry.minutes(user, A_DAY)[0].left == 60_000


@pytest.mark.parametrize("point", ["after-reservation", "after-answer"])
def test_killed_before_the_recording_the_outcome_is_unknown(
    redis: RedisServer, registry: CallRegistry, point: str
) -> None:
    """Its slot is free again for its user, 15 s are charged, and two minutes it counts for all."""
    user, heard = new_user(), Heard()
    killed_at(point, redis, user)
    with keeping(registry, Vendor(), heard=heard):
        wait_until(lambda: bool(heard.losses), seconds=3, what="the loss")
    assert registry.minutes(user, A_DAY)[0].left == 60_000 - 15
    assert registry.counts().active == 1
    opened(registry, user, at_limit="refuse", minutes="1000/day")


def test_killed_after_the_recording_the_call_is_kept_by_the_others(
    redis: RedisServer, registry: CallRegistry
) -> None:
    user, vendor = new_user(), Vendor()
    killed_at("after-recording", redis, user)
    (call,) = registry.list_calls(states=("open",), user=user)
    with keeping(registry, vendor):
        registry.end_user(user, "revoked")
        wait_until(lambda: registry.counts().active == 0, seconds=2, what="the end of the call")
    assert vendor.attempts_at(call) == 1


@pytest.mark.alone
def test_killed_while_it_ended_a_call_the_call_is_ended_within_two_seconds_of_the_next_start(
    redis: RedisServer, registry: CallRegistry
) -> None:
    user, vendor = new_user(), Vendor()
    killed_at("mid-ending", redis, user)
    (call,) = registry.list_calls()
    began = time.monotonic()
    with keeping(registry, vendor):
        wait_until(lambda: registry.counts().active == 0, seconds=2.5, what="the end of the call")
    assert vendor.attempts[0].began - began < 2
    assert vendor.attempts_at(call) == 1
