"""Both registries behave as a plain model does, whatever is opened, ended, killed, and done to the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service.budgets import MinuteLimit
from service.calls.errors import CallMinutesExhaustedError, TooManyCallsError
from service.calls.memory_registry import MemoryCalls
from service.calls.registry import CallRegistry
from tests.support.calls import OPENING_SECONDS, Clock, memory_calls, poll, redis_calls, request
from tests.support.redis import RedisServer

USERS = ("a" * 64, "b" * 64, "c" * 64)
SLOTS, GLOBAL = 2, 4
USER_MINUTES, GLOBAL_MINUTES = "10/hour;15/day", "25/hour"
BUDGETS = {("user", 3600): 600, ("user", 86_400): 900, ("all", 3600): 1500}
BOUNDS = {"calls": SLOTS, "calls_global": GLOBAL, "minutes": USER_MINUTES, "minutes_global": GLOBAL_MINUTES}


@dataclass
class Period:
    """A window of minutes: when it ends, and what each call took out of it (milliseconds)."""

    ends: int
    takes: dict[str, int] = field(default_factory=dict)


@dataclass
class Kept:
    """A call as the model sees it. ``due`` is when somebody must look at it."""

    user: str
    reserved: int
    periods: list[Period]
    state: str = "opening"
    upstream: bool = False
    began: int = 0
    due: int = 0
    cause: str | None = None
    charged: int | None = None


class Model:
    """What the contract says, without any thought of how fast or where."""

    def __init__(self) -> None:
        self.calls: dict[str, Kept] = {}
        self.periods: dict[tuple[str, int], Period] = {}

    def active(self) -> list[str]:
        return [name for name, call in self.calls.items() if call.state != "ended"]

    def holding(self, user: str) -> list[str]:
        return [
            n for n, call in self.calls.items() if call.user == user and call.state in {"opening", "open"}
        ]

    def period(self, owner: str, length: int, now: int) -> Period:
        found = self.periods.get((owner, length))
        return found if found and found.ends > now else Period(now + 1000 * length)

    def budgets(self, user: str, now: int) -> dict[tuple[str, int], tuple[int, Period]]:
        """For each window the seconds it holds, and the period that counts now."""
        found = {}
        for (scope, length), amount in BUDGETS.items():
            owner = "all" if scope == "all" else user
            found[owner, length] = (1000 * amount, self.period(owner, length, now))
        return found

    def left(self, user: str, now: int) -> list[int]:
        return [amount - sum(period.takes.values()) for amount, period in self.budgets(user, now).values()]

    def charge(self, name: str, amount: int) -> None:
        call = self.calls[name]
        if call.charged is None:
            call.charged = min(amount, call.reserved)
            for period in call.periods:
                period.takes[name] = call.charged

    def start_ending(self, name: str, cause: str, now: int) -> bool:
        call = self.calls[name]
        if call.state not in {"opening", "open"}:
            return False
        if call.state == "open":
            call.due = now
        call.state, call.cause = "ending", cause
        return True

    def lose(self, name: str, now: int) -> None:
        call = self.calls[name]
        if call.state in {"opening", "ending"} and not call.upstream and call.charged is None:
            self.charge(name, 15_000)
            call.state, call.cause, call.due = "ending", "unknown", now + 120_000

    def confirm(self, name: str, cause: str, now: int, told: int | None) -> None:
        call = self.calls[name]
        if call.state in {"open", "ending"}:
            elapsed = max(0, now - call.began) if call.upstream else 0
            self.charge(name, max(15_000, elapsed if told is None else told))
            call.state, call.cause = "ended", call.cause or cause


class Machine(RuleBasedStateMachine):
    """Random openings, endings, crashes (what is simply never done) and steps of the clock."""

    make: Callable[[Clock], CallRegistry]
    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(1_795_618_399.0)
        self.registry = type(self).make(self.clock)
        self.model = Model()

    @property
    def now(self) -> int:
        return self.clock.milliseconds()

    @rule(target=names, user=st.sampled_from(USERS), seconds=st.integers(30, 700), replace=st.booleans())
    def reserve(self, user: str, seconds: int, replace: bool) -> object:
        model, now = self.model, self.now
        held = model.holding(user)
        left = min(model.left(user, now)) // 1000
        expected: type[Exception] | None = None
        if len(model.active()) >= GLOBAL or (len(held) >= SLOTS and not replace):
            expected = TooManyCallsError
        elif left < 30:
            expected = CallMinutesExhaustedError
        asked = request(user, seconds=seconds, at_limit="replace" if replace else "refuse", **BOUNDS)
        if expected:
            with pytest.raises(expected):
                self.registry.reserve(asked)
            return multiple()
        reservation = self.registry.reserve(asked)
        name, given = reservation.call.id, 1000 * min(seconds, left)
        assert reservation.call.reserved_ms == given
        replaced = held[: max(0, len(held) - SLOTS + 1)]
        assert list(reservation.replaced) == replaced
        for each in replaced:
            model.start_ending(each, "replaced", now)
        periods = model.budgets(user, now)
        for key, (_, period) in periods.items():
            period.takes[name] = given
            model.periods[key] = period
        model.calls[name] = Kept(
            user,
            given,
            [period for _, period in periods.values()],
            began=now,
            due=now + 1000 * OPENING_SECONDS,
        )
        return name

    @rule(name=names)
    def record(self, name: str) -> None:
        call, now = self.model.calls.get(name), self.now
        recorded = self.registry.record(name, f"up_{name}")
        if call is None:
            assert recorded is None
        elif call.state in {"opening", "ending"} and not call.upstream:
            call.due = now + call.reserved if call.state == "opening" else now
            call.state = "open" if call.state == "opening" else "ending"
            call.upstream, call.began = True, now

    @rule(name=consumes(names))
    def refuse(self, name: str) -> None:
        call = self.model.calls.get(name)
        self.registry.refuse(name)
        if call and call.state in {"opening", "ending"} and not call.upstream:
            self.model.charge(name, 0)
            del self.model.calls[name]

    @rule(name=names)
    def lose(self, name: str) -> None:
        self.registry.lose(name)
        if name in self.model.calls:
            self.model.lose(name, self.now)

    @rule(name=names, cause=st.sampled_from(["client", "admin"]))
    def end(self, name: str, cause: str) -> None:
        change = self.registry.end(name, "client" if cause == "client" else "admin")
        if name in self.model.calls and (change or self.model.calls[name].state != "ended"):
            assert change  # an ended call is forgotten after an hour
            assert change.changed == self.model.start_ending(name, cause, self.now)

    @rule(user=st.sampled_from(USERS))
    def revoke(self, user: str) -> None:
        held = self.model.holding(user)
        assert [call.id for call in self.registry.end_user(user, "revoked")] == held
        for name in held:
            self.model.start_ending(name, "revoked", self.now)

    @rule(name=names, told=st.none() | st.integers(0, 1_000_000))
    def confirm(self, name: str, told: int | None) -> None:
        self.registry.confirm(name, "vendor", told_ms=told)
        if name in self.model.calls:
            self.model.confirm(name, "vendor", self.now, told)

    @rule(most=st.integers(0, 5))
    def poll(self, most: int) -> None:
        now, model = self.now, self.model
        due = {name: model.calls[name].due for name in model.active() if model.calls[name].due <= now}
        found = poll(self.registry, most)
        taken = [
            *(each.id for each in (*found.lost, *found.ended)),
            *(claim.call.id for claim in found.claims),
        ]
        assert len(taken) == min(most, len(due))
        assert sorted(due[name] for name in taken) == sorted(due.values())[: len(taken)]
        for call in found.lost:
            model.lose(call.id, now)
        for call in found.ended:
            model.confirm(call.id, "unknown", now, None)
        for claim in found.claims:
            model.start_ending(claim.call.id, "deadline", now)
            model.calls[claim.call.id].due = now + 2000

    @rule(seconds=st.sampled_from([0.001, 1, 2, 14, 15, 29.5, 60, 120, 600, 3599]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: not isinstance(self.registry, MemoryCalls))  # whose clock cannot be set
    @rule(seconds=st.sampled_from([1, 30, 1800]))
    def set_the_clock_back(self, seconds: float) -> None:
        self.clock.advance(-seconds)

    @invariant()
    def slots_and_minutes_are_within_their_amounts(self) -> None:
        assert 0 <= self.registry.counts().active <= GLOBAL
        for user in USERS:
            assert len(self.registry.list_calls(states=("open",), user=user)) <= SLOTS
            for status in self.registry.minutes(user, [MinuteLimit(600, 3600), MinuteLimit(900, 86_400)]):
                assert 0 <= status.left <= status.limit.amount
        for status in self.registry.minutes("all", [MinuteLimit(1500, 3600)]):
            assert 0 <= status.left <= 1500

    @invariant()
    def the_registry_is_what_the_model_is(self) -> None:
        model, now = self.model, self.now
        assert self.registry.counts().active == len(model.active())
        for user in USERS:
            expected = [name for name in model.holding(user) if model.calls[name].state == "open"]
            assert [call.id for call in self.registry.list_calls(states=("open",), user=user)] == expected
            kept = self.registry.minutes(user, [MinuteLimit(600, 3600), MinuteLimit(900, 86_400)])
            assert [status.left for status in kept] == [left // 1000 for left in model.left(user, now)[:2]]
        for name, call in model.calls.items():
            if call.state != "ended":
                stored = self.registry.get(name)
                assert stored
                assert (stored.state, stored.ended_by, stored.charged_ms) == (
                    call.state,
                    call.cause,
                    call.charged,
                )


@pytest.mark.parametrize(("kind", "examples"), [("memory", 100), ("redis", 25)])
def test_the_registry_behaves_as_the_model(request: pytest.FixtureRequest, kind: str, examples: int) -> None:
    """Slots and minutes never go below zero nor above their amount; each call is charged once."""

    def make(clock: Clock) -> CallRegistry:
        if kind == "memory":
            return memory_calls(clock)
        server: RedisServer = request.getfixturevalue("redis")
        server.client.flushall()
        return redis_calls(server, clock)

    machine = type("Machine", (Machine,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
