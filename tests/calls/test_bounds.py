"""What a vendor that hangs, or a storage that was away, can take of the keeper is bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from service.calls import endings
from service.calls.endings import ATTEMPTS_AT_ONCE, Endings, KeeperEvents
from service.calls.errors import CallRegistryUnavailableError
from service.calls.first_endings import ASKED_PER_SECOND, TRIED_KEPT, FirstEndings
from service.calls.model import Call
from service.calls.own import OwnCalls
from service.calls.redis_registry import RedisCalls
from service.calls.registry import CallRegistry
from tests.support.calls import OPENING_SECONDS, Scripts, Vendor, memory_calls, opened, poll
from tests.support.processes import wait_until
from tests.support.redis import RedisServer


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """Give a vendor, and let go of what hangs in it at the end."""
    vendor = Vendor()
    yield vendor
    vendor.free.set()


def endings_of(registry: CallRegistry, vendor: Vendor) -> Endings:
    return Endings(registry, vendor.calls, OwnCalls(), KeeperEvents())


def begin_all(
    ends: Endings, registry: CallRegistry, vendor: Vendor, number: int, *, hanging: bool = False
) -> list[Call]:
    """Open calls, and begin to end them; none of those that are hanging is answered."""
    calls = [opened(registry, calls_global=1000) for _ in range(number)]
    vendor.hanging |= {call.id for call in calls} if hanging else set()
    for call in calls:
        registry.end(call.id, "client")
    for claim in poll(registry).claims:
        ends.begin(claim)
    wait_until(lambda: len(vendor.attempts) == number, seconds=5, what="the attempts")
    return calls


def test_checks_that_hang_take_no_place_of_an_ending(vendor: Vendor) -> None:
    """A vendor that answers no check may still end calls, and they must end in time."""
    registry = memory_calls()
    ends = endings_of(registry, vendor)
    open_calls = [opened(registry, calls_global=1000) for _ in range(ends.check_room)]
    vendor.hanging = {call.id for call in open_calls}
    for call in open_calls:
        ends.check(call)
    wait_until(lambda: len(vendor.checks) == len(open_calls), seconds=5, what="the checks")
    assert (ends.check_room, ends.room) == (0, ATTEMPTS_AT_ONCE)
    begin_all(ends, registry, vendor, 30)
    wait_until(lambda: ends.idle, seconds=5, what="the endings")
    vendor.free.set()
    wait_until(lambda: ends.check_room == len(open_calls), seconds=5, what="room for checks")


def test_attempts_that_hang_are_given_up_in_one_round_trip(
    own_redis: RedisServer, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many: the keeper's next look, and the claims of all others, would wait for each of them."""
    scripts = Scripts(own_redis)
    registry = RedisCalls(scripts, opening_seconds=OPENING_SECONDS)
    ends = endings_of(registry, vendor)
    calls = begin_all(ends, registry, vendor, 50, hanging=True)
    before = scripts.round_trips
    monkeypatch.setattr(endings, "ATTEMPT_SECONDS", 0.0)
    ends.maintain()
    assert scripts.round_trips - before == 1
    assert ends.idle
    assert not poll(registry).claims  # each waits for its next attempt
    assert all(registry.get(call.id).state == "ending" for call in calls)  # type: ignore[union-attr]


def test_a_storage_that_is_back_is_told_of_ended_calls_for_so_long_at_a_look(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = memory_calls()
    ends = endings_of(registry, vendor)
    told, lock = [], threading.Lock()
    confirm = registry.confirm

    def refuse(*_: object, **__: object) -> None:
        raise CallRegistryUnavailableError("away")

    def note(call_id: str, *arguments: object, **options: object) -> object:
        with lock:
            told.append(call_id)
        return confirm(call_id, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(registry, "confirm", refuse)
    calls = begin_all(ends, registry, vendor, 20)
    wait_until(lambda: ends.idle, seconds=10, what="the endings")
    monkeypatch.setattr(registry, "confirm", note)
    with monkeypatch.context() as no_time:
        no_time.setattr(endings, "CONFIRMING_SECONDS", 0.0)
        ends.confirm_ended()
        assert len(told) == 1
        ends.confirm_ended()
        assert len(told) == 2
    ends.confirm_ended()
    assert sorted(told) == sorted(call.id for call in calls)


def test_made_up_ids_let_few_endings_through_and_are_not_remembered_without_bound() -> None:
    """Each that is let through costs round trips, and whoever asks has been refused too often already."""
    first_endings = FirstEndings(OwnCalls(), shared=True)
    admitted = [first_endings.admits(f"call_{number}", "ada") for number in range(200)]
    assert ASKED_PER_SECOND / 4 <= admitted.count(True) <= ASKED_PER_SECOND
    for number in range(TRIED_KEPT + 1):
        first_endings.note(f"call_{number}", "ada")
    wait_until(lambda: first_endings.admits("call_0", "ada"), seconds=5, what="the oldest to be forgotten")
    assert not any(first_endings.admits(f"call_{number}", "ada") for number in range(1, TRIED_KEPT + 1))


def test_without_a_shared_storage_only_a_call_of_this_process_is_let_through() -> None:
    """No other process can have opened one."""
    own = OwnCalls()
    call = opened(memory_calls())
    own.watch(call)
    first_endings = FirstEndings(own, shared=False)
    assert first_endings.admits(call.id, call.user)
    assert not first_endings.admits(call.id, "mallory")
    assert not first_endings.admits("call_0", call.user)
    first_endings.note(call.id, "mallory")
    assert first_endings.admits(call.id, call.user)
    first_endings.note(call.id, call.user)
    assert not first_endings.admits(call.id, call.user)
