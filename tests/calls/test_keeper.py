"""The keeper ends what must end, in time, once, and again where it failed; with a vendor that hangs and errs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from service.calls import endings
from service.calls.bounds import Rate
from service.calls.endings import Outcome, retry_pause
from service.calls.errors import CallEndedError, CallRegistryUnavailableError
from service.calls.keeper import Keeper
from service.calls.model import Call, Poll, PollRequest
from service.calls.registry import CallRegistry
from tests.support.calls import (
    Clock,
    Heard,
    MakeRegistry,
    Vendor,
    keeping,
    memory_calls,
    new_user,
    opened,
    poll,
    redis_calls,
    request,
)
from tests.support.processes import run_program, wait_until
from tests.support.redis import RedisServer

FAILED = Outcome("failed", reason="500")
NOT_FOUND = Outcome("not_found")
ENDED = Outcome("ended")


@pytest.fixture
def clock() -> Clock:
    """Give a clock that runs, and that the test may set forward."""
    return Clock()


@pytest.fixture
def registry(make_registry: MakeRegistry, clock: Clock) -> CallRegistry:
    """Give a registry with that clock."""
    return make_registry(clock)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """Give a vendor, and let go of what hangs in it at the end."""
    vendor = Vendor()
    yield vendor
    vendor.free.set()


def has_state(registry: CallRegistry, call: Call, state: str) -> bool:
    """Return whether a call is in a state."""
    found = registry.get(call.id)
    return found is not None and found.state == state


def wait_for_end(registry: CallRegistry, *calls: Call, seconds: float = 2) -> None:
    """Wait until calls have ended."""
    for call in calls:
        wait_until(
            lambda call=call: has_state(registry, call, "ended"), seconds=seconds, what="the end of a call"
        )  # type: ignore[misc]


def errors_naming(call: Call, caplog: pytest.LogCaptureFixture) -> list[str]:
    """List the ERROR lines that name a call: a service of another test may log what it misses meanwhile."""
    errors = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    return [text for text in errors if f"{call.id} (" in text]


def test_a_call_is_ended_at_its_deadline(registry: CallRegistry, clock: Clock, vendor: Vendor) -> None:
    """Within 2 s; its end is told with its cause, seconds and charge, and how late the attempt was."""
    heard = Heard()
    due, later = opened(registry, seconds=30), opened(registry, seconds=60)
    with keeping(registry, vendor, heard=heard):
        clock.advance(30)
        wait_for_end(registry, due)
        assert has_state(registry, later, "open")
        (ended,) = heard.endings
    assert (ended.id, ended.ended_by) == (due.id, "deadline")
    assert ended.charged_seconds == 30
    assert heard.lateness[0] < 2


@pytest.mark.parametrize("cause", ["client", "admin", "revoked", "replaced"])
def test_a_call_that_somebody_ends_is_ended(registry: CallRegistry, vendor: Vendor, cause: str) -> None:
    """Wherever it was asked for: this keeper is not told, it looks."""
    heard, user = Heard(), new_user()
    call = opened(registry, user)
    with keeping(registry, vendor, heard=heard):
        if cause == "revoked":
            registry.end_user(user, "revoked")
        elif cause == "replaced":
            registry.reserve(request(user))
        else:
            registry.end(call.id, "client" if cause == "client" else "admin")
        wait_for_end(registry, call)
    assert [each.ended_by for each in heard.endings] == [cause]
    assert vendor.attempts_at(call) == 1


def test_a_keeper_that_is_woken_looks_at_once(registry: CallRegistry, vendor: Vendor) -> None:
    calls = [opened(registry) for _ in range(5)]
    with keeping(registry, vendor) as keeper:
        for call in calls:
            registry.end(call.id, "client")
            keeper.wake()
            wait_for_end(registry, call, seconds=0.4)


def test_what_the_vendor_bills_is_charged(registry: CallRegistry, vendor: Vendor) -> None:
    heard, call = Heard(), opened(registry)
    vendor.answers[call.id] = [Outcome("ended", told_seconds=77.5)]
    with keeping(registry, vendor, heard=heard):
        registry.end(call.id, "client")
        wait_for_end(registry, call)
    assert heard.endings[0].charged_seconds == 77.5


def test_attempts_that_hang_delay_no_other(registry: CallRegistry, vendor: Vendor) -> None:
    hanging = [opened(registry) for _ in range(30)]
    others = [opened(registry) for _ in range(30)]
    vendor.hanging = {call.id for call in hanging}
    with keeping(registry, vendor):
        for call in (*hanging, *others):
            registry.end(call.id, "client")
        wait_for_end(registry, *others)
        assert all(has_state(registry, call, "ending") for call in hanging)
        vendor.free.set()
        wait_for_end(registry, *hanging)
    assert all(vendor.attempts_at(call) == 1 for call in hanging)


def test_an_attempt_that_hangs_is_given_up_and_made_again(
    registry: CallRegistry, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then its claim is renewed, so that no other process makes one."""
    monkeypatch.setattr(endings, "ATTEMPT_SECONDS", 3.0)
    heard, call = Heard(), opened(registry)
    vendor.hanging = {call.id}
    with keeping(registry, vendor, heard=heard):
        registry.end(call.id, "client")
        wait_until(lambda: bool(vendor.attempts), seconds=2, what="the first attempt")
        until = time.monotonic() + 2.5  # longer than an unrenewed claim would last
        while time.monotonic() < until:
            assert not poll(registry).claims
            time.sleep(0.05)
        vendor.hanging.clear()
        wait_for_end(registry, call, seconds=4)
    assert heard.failures == [(call.id, "no answer in 3 s")]
    assert vendor.attempts_at(call) == 2


@pytest.mark.parametrize("failure", [FAILED, RuntimeError("a bug"), NOT_FOUND], ids=["500", "raises", "404"])
def test_an_attempt_that_fails_is_made_again_after_growing_pauses(
    registry: CallRegistry, clock: Clock, vendor: Vendor, failure: Outcome | Exception
) -> None:
    """So is one that gets 404 in the first two minutes, when the call may not be connected yet."""
    heard, call = Heard(), opened(registry)
    vendor.answers[call.id] = [failure, failure, failure, ENDED]
    with keeping(registry, vendor, heard=heard):
        registry.end(call.id, "client")
        for attempt, pause in enumerate([1, 2, 4], start=1):
            wait_until(lambda n=attempt: len(heard.failures) == n, seconds=2, what="a failed attempt")  # type: ignore[misc]
            clock.advance(pause - 0.7)
            assert vendor.attempts_at(call) == attempt
            clock.advance(0.7)
        wait_for_end(registry, call)
    assert vendor.attempts_at(call) == 4
    assert [each.ended_by for each in heard.endings] == ["client"]


def test_pauses_grow_to_half_a_minute() -> None:
    assert [retry_pause(attempts) for attempts in (1, 2, 3, 4, 5, 6, 7, 1000)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_404_means_ended_once_two_minutes_have_passed(
    registry: CallRegistry, clock: Clock, vendor: Vendor
) -> None:
    heard, call = Heard(), opened(registry)
    vendor.answers[call.id] = [NOT_FOUND]
    clock.advance(120)
    with keeping(registry, vendor, heard=heard):
        registry.end(call.id, "client")
        wait_for_end(registry, call)
    assert [each.ended_by for each in heard.endings] == ["client"]
    assert not heard.failures


@pytest.mark.parametrize(("kind", "maximum"), [("realtime", 3600), ("live", 7200)])
def test_a_call_that_cannot_be_ended_is_given_up_after_the_vendors_maximum(
    registry: CallRegistry,
    clock: Clock,
    vendor: Vendor,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    maximum: int,
) -> None:
    """With an ERROR that names it; all that was reserved is charged."""
    heard, call = Heard(), opened(registry, kind=kind)
    vendor.answers[call.id] = [FAILED]
    with keeping(registry, vendor, heard=heard), caplog.at_level(logging.ERROR):
        registry.end(call.id, "admin")
        wait_until(lambda: bool(heard.failures), seconds=2, what="a failed attempt")
        clock.advance(maximum)
        wait_for_end(registry, call)
        wait_until(lambda: bool(heard.endings), seconds=2, what="the ending's record")
    assert heard.given_up == [call.id]
    assert heard.endings[0].charged_seconds == 600
    assert len(errors_naming(call, caplog)) == 1


def test_a_call_that_its_vendor_no_longer_knows_is_found_ended(
    registry: CallRegistry, clock: Clock, vendor: Vendor
) -> None:
    """Others are left alone, whatever the answer."""
    heard = Heard()
    gone, running, unclear = (opened(registry) for _ in range(3))
    vendor.answers |= {gone.id: [NOT_FOUND], unclear.id: [FAILED]}
    with keeping(registry, vendor, check_seconds=60, heard=heard):
        time.sleep(0.7)
        assert not vendor.checks  # too young
        clock.advance(120)
        wait_for_end(registry, gone)
        wait_until(lambda: len(vendor.checks) == 3, seconds=2, what="three checks")
        clock.advance(60)
        wait_until(lambda: len(vendor.checks) == 5, seconds=2, what="two checks more")
        assert has_state(registry, running, "open")
        assert has_state(registry, unclear, "open")
        assert [each.ended_by for each in heard.endings] == ["vendor"]
    assert 120 <= (heard.endings[0].seconds or 0) < 125


def test_while_calls_wait_for_their_check_the_keeper_does_not_pause_for_long(
    registry: CallRegistry, clock: Clock, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At half a second a look it would ask ten calls a second, and 20 may be asked."""
    for _ in range(40):
        opened(registry)
    clock.advance(120)
    full: list[float] = []
    poll_registry = registry.poll

    def noting(asked: PollRequest) -> Poll:
        found = poll_registry(asked)
        if asked.checks and len(found.checks) == asked.checks:
            full.append(time.monotonic())
        return found

    monkeypatch.setattr(registry, "poll", noting)
    with keeping(registry, vendor, check_seconds=60):
        wait_until(lambda: len(vendor.checks) == 40, seconds=10, what="all checks")
    pauses = sorted(later - earlier for earlier, later in pairwise(full))
    assert pauses[len(pauses) // 2] < 0.4


def test_checks_can_be_turned_off(registry: CallRegistry, clock: Clock, vendor: Vendor) -> None:
    opened(registry)
    clock.advance(300)
    with keeping(registry, vendor, check_seconds=0):
        time.sleep(0.7)
    assert not vendor.checks


def test_an_opening_whose_process_died_becomes_unknown(
    registry: CallRegistry, clock: Clock, vendor: Vendor
) -> None:
    heard = Heard()
    call = registry.reserve(request()).call
    with keeping(registry, vendor, heard=heard):
        clock.advance(15)
        wait_until(lambda: bool(heard.losses), seconds=2, what="the loss")
        clock.advance(120)
        wait_for_end(registry, call)
    assert [(each.id, each.ended_by, each.charged_seconds) for each in heard.endings] == [
        (call.id, "unknown", 15)
    ]
    assert not vendor.attempts


def test_a_recorded_call_is_open(registry: CallRegistry, vendor: Vendor) -> None:
    with keeping(registry, vendor) as keeper:
        call = keeper.record(registry.reserve(request()).call, "live_1")
        assert call.state == "open"
        time.sleep(0.7)
        assert has_state(registry, call, "open")
    assert registry.survives_process or not has_state(registry, call, "open")


def test_a_call_that_was_to_end_while_it_was_opened_is_ended_at_once(
    registry: CallRegistry, vendor: Vendor
) -> None:
    call = registry.reserve(request()).call
    with keeping(registry, vendor) as keeper:
        registry.end(call.id, "client")
        with pytest.raises(CallEndedError):
            keeper.record(call, "live_1")
        wait_for_end(registry, call)
    assert vendor.attempts_at(call) == 1


def test_a_session_whose_id_comes_too_late_is_ended_at_once(
    registry: CallRegistry, clock: Clock, vendor: Vendor
) -> None:
    """Although the registry has nothing to do with it any more."""
    call = registry.reserve(request()).call
    registry.lose(call.id)
    clock.advance(120)
    with keeping(registry, vendor) as keeper:
        wait_for_end(registry, call)
        vendor.answers[call.id] = [FAILED, ENDED]
        with pytest.raises(CallEndedError):
            keeper.record(call, "live_late")
        wait_until(lambda: vendor.attempts_at(call) == 2, seconds=3, what="the second attempt")


def test_many_due_calls_are_ended_at_200_a_second(registry: CallRegistry, vendor: Vendor) -> None:
    """Oldest first."""
    calls = [opened(registry, calls_global=1000) for _ in range(400)]
    for call in calls:
        registry.end(call.id, "admin")
    start = time.monotonic()
    with keeping(registry, vendor):
        wait_for_end(registry, *calls, seconds=8)
    # 50 at once, and 200 a second from when the keeper was made.
    assert sum(attempt.began < start + 1 for attempt in vendor.attempts) <= 250
    assert vendor.attempts[-1].began < start + 4
    order = {call.id: place for place, call in enumerate(calls)}
    places = [order[attempt.call_id] for attempt in vendor.attempts]
    assert all(abs(place - expected) < 60 for expected, place in enumerate(places))


def test_a_rate_fills_up_to_a_quarter_of_a_second() -> None:
    rate = Rate(200)
    assert rate.available() == 50
    rate.take(50)
    assert rate.available() < 10


def test_two_keepers_end_no_call_twice(redis: RedisServer) -> None:
    """Each has its own connection; attempts take longer than a claim lasts unrenewed."""
    redis.client.flushall()
    vendor = Vendor(takes=2.5)
    calls = [opened(redis_calls(redis), calls_global=1000) for _ in range(60)]
    with keeping(redis_calls(redis), vendor), keeping(redis_calls(redis), vendor):
        for call in calls:
            redis_calls(redis).end(call.id, "admin")
        wait_for_end(redis_calls(redis), *calls, seconds=8)
    assert sorted(attempt.call_id for attempt in vendor.attempts) == sorted(call.id for call in calls)


def test_calls_in_memory_are_ended_at_shutdown(vendor: Vendor) -> None:
    registry, heard = memory_calls(), Heard()
    keeper = Keeper(registry, vendor.calls, check_seconds=0, events=heard)
    keeper.start()
    calls = [keeper.record(registry.reserve(request()).call, "live_1") for _ in range(20)]
    began = time.monotonic()
    keeper.stop(5)
    assert time.monotonic() - began < 2
    assert {each.ended_by for each in heard.endings} == {"shutdown"}
    assert all(has_state(registry, call, "ended") for call in calls)
    assert not keeper.is_running


def test_calls_that_cannot_be_ended_at_shutdown_are_named(
    vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    registry = memory_calls()
    call = opened(registry)
    vendor.answers[call.id] = [FAILED]
    keeper = Keeper(registry, vendor.calls, check_seconds=0)
    keeper.start()
    keeper.stop(1)
    assert errors_naming(call, caplog)


def test_a_stop_leaves_calls_on_redis_and_finishes_what_is_under_way(redis: RedisServer) -> None:
    redis.client.flushall()
    registry, vendor = redis_calls(redis), Vendor(takes=1)
    staying, ending = opened(registry), opened(registry)
    keeper = Keeper(registry, vendor.calls, check_seconds=0)
    keeper.start()
    registry.end(ending.id, "client")
    wait_until(lambda: bool(vendor.attempts), seconds=2, what="the attempt")
    keeper.stop(5)
    assert has_state(registry, ending, "ended")
    assert has_state(registry, staying, "open")


def test_a_keeper_starts_once(vendor: Vendor) -> None:
    keeper = Keeper(memory_calls(), vendor.calls, check_seconds=0)
    assert not keeper.is_running
    keeper.start()
    keeper.start()
    assert keeper.is_running
    keeper.stop(1)
    keeper.start()
    assert not keeper.is_running


def test_a_flushed_storage_has_its_calls_named_and_ended(
    own_redis: RedisServer, vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    """By the process that opened them."""
    registry, heard = redis_calls(own_redis), Heard()
    with keeping(registry, vendor, heard=heard) as keeper:
        calls = [keeper.record(registry.reserve(request()).call, f"live_{n}") for n in range(5)]
        own_redis.client.flushall()
        wait_until(lambda: len(heard.endings) == 5, seconds=2, what="the end of all calls")
    (line,) = errors_naming(calls[0], caplog)
    assert all(f"{call.id} ({call.upstream_id})" in line for call in calls)
    assert all(vendor.attempts_at(call) == 1 for call in calls)


def lose_id(registry: CallRegistry, server: RedisServer, keeper: Keeper) -> Call:
    """Open a call; Redis crashes, or another takes its place, before the last write is on disk or copied."""
    reserved = registry.reserve(request()).call
    (key,) = server.client.scan_iter(match=f"*{reserved.id}")
    before = server.client.dump(key)
    call = keeper.record(reserved, "live_1")
    server.client.restore(key, 0, before, replace=True)
    return call


def test_a_storage_that_has_lost_the_id_of_a_call_is_given_it_again(
    own_redis: RedisServer, vendor: Vendor
) -> None:
    """The call goes on, and can be ended as any other."""
    registry, heard = redis_calls(own_redis), Heard()
    with keeping(registry, vendor, heard=heard) as keeper:
        call = lose_id(registry, own_redis, keeper)
        wait_until(lambda: has_state(registry, call, "open"), seconds=3, what="the second recording")
        assert vendor.attempts == []
        registry.end(call.id, "client")
        wait_for_end(registry, call)
        wait_until(lambda: bool(heard.endings), seconds=2, what="the ending's record")
    assert [(each.upstream_id, each.ended_by) for each in heard.endings] == [("live_1", "client")]


def test_a_call_whose_id_the_storage_has_lost_can_be_ended_meanwhile(
    own_redis: RedisServer, vendor: Vendor
) -> None:
    registry, heard = redis_calls(own_redis), Heard()
    with keeping(registry, vendor, heard=heard) as keeper:
        call = lose_id(registry, own_redis, keeper)
        registry.end(call.id, "client")
        wait_until(lambda: bool(heard.endings), seconds=4, what="the ending's record")
    assert vendor.attempts_at(call) == 1
    assert [(each.upstream_id, each.ended_by) for each in heard.endings] == [("live_1", "client")]


def test_ids_are_recorded_again_only_as_long_as_the_storage_answers(
    own_redis: RedisServer, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure may take seconds, and other calls are due meanwhile: the rest waits for another look."""
    registry = redis_calls(own_redis)
    failures: list[float] = []

    def fail(*_: object) -> None:
        failures.append(time.monotonic())
        raise CallRegistryUnavailableError("No.", reason="no connection was free")

    with keeping(registry, vendor) as keeper:
        calls = [lose_id(registry, own_redis, keeper) for _ in range(5)]
        with monkeypatch.context() as patch:
            patch.setattr(registry, "record", fail)
            wait_until(lambda: len(failures) >= 3, seconds=5, what="three looks")
        wait_until(
            lambda: all(has_state(registry, call, "open") for call in calls), seconds=3, what="the ids"
        )
    assert all(later - earlier > 0.05 for earlier, later in pairwise(failures))


def test_a_session_whose_call_has_ended_in_the_storage_without_its_id_is_named_and_ended(
    own_redis: RedisServer, vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    """The storage was away until the opening had taken too long."""
    registry = redis_calls(own_redis)
    with keeping(registry, vendor) as keeper:
        call = lose_id(registry, own_redis, keeper)
        registry.lose(call.id)
        registry.confirm(call.id, "unknown")
        wait_until(lambda: vendor.attempts_at(call) == 1, seconds=3, what="the ending")
    (line,) = errors_naming(call, caplog)
    assert "(live_1)" in line


def test_a_call_that_is_being_recorded_is_not_taken_for_lost(registry: CallRegistry, vendor: Vendor) -> None:
    """The keeper looks while the id is on its way to the storage."""
    record = registry.record

    def look_first(call_id: str, upstream_id: str) -> Call | None:
        for _ in range(3):
            keeper.wake()
            time.sleep(0.2)
        return record(call_id, upstream_id)

    with keeping(registry, vendor) as keeper, pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "record", look_first)
        call = keeper.record(registry.reserve(request()).call, "live_1")
        assert has_state(registry, call, "open")
        assert vendor.attempts == []


def test_a_process_ends_its_calls_at_their_deadline_while_the_storage_is_away(
    own_redis: RedisServer, vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    registry, heard = redis_calls(own_redis), Heard()
    with keeping(registry, vendor, heard=heard) as keeper:
        due, later = (registry.reserve(request()).call for _ in range(2))
        keeper.record(replace(due, reserved_ms=1500), "live_due")
        keeper.record(later, "live_later")
        own_redis.kill()
        with pytest.raises(CallRegistryUnavailableError):
            registry.reserve(request())
        wait_until(lambda: bool(vendor.attempts), seconds=4, what="the ending")
        time.sleep(1)
        assert [attempt.call_id for attempt in vendor.attempts] == [due.id]
    (line,) = errors_naming(due, caplog)
    assert "(live_due)" in line


def test_a_storage_that_hung_learns_what_ended_without_it(own_redis: RedisServer, vendor: Vendor) -> None:
    registry = redis_calls(own_redis, seconds=0.3)
    heard = Heard()
    with keeping(registry, vendor, heard=heard) as keeper:
        call = registry.reserve(request()).call
        began = time.monotonic()
        keeper.record(replace(call, reserved_ms=1000), "live_1")
        with own_redis.hung():
            wait_until(lambda: bool(vendor.attempts), seconds=4, what="the ending")
            took = time.monotonic() - began
            time.sleep(1)  # it is told that the call has ended, and answers too late
            assert not heard.endings
        wait_until(lambda: bool(heard.endings), seconds=3, what="the storage's return")
        assert has_state(registry, call, "ended")
    assert vendor.attempts_at(call) == 1
    (ended,) = heard.endings
    assert ended.ended_by == "deadline"
    assert ended.seconds is not None
    assert ended.seconds < took + 0.5  # the time without the storage is none of the call's


def lose_at_recording(keeper: Keeper, registry: CallRegistry, server: RedisServer) -> Call:
    """Open a call that Redis does not live to record: from then on only this process knows it."""
    call = registry.reserve(request()).call
    server.kill()
    with pytest.raises(CallRegistryUnavailableError):
        keeper.record(call, "live_1")
    return call


def test_a_call_that_cannot_be_recorded_is_ended_at_once(own_redis: RedisServer, vendor: Vendor) -> None:
    registry = redis_calls(own_redis)
    with keeping(registry, vendor) as keeper:
        call = lose_at_recording(keeper, registry, own_redis)
        wait_until(lambda: vendor.attempts_at(call) == 1, seconds=2, what="the ending")


def test_a_call_whose_recording_breaks_off_is_ended_at_once(
    redis: RedisServer, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever broke it off: a greenlet may be killed in that very moment."""
    registry = redis_calls(redis)

    def break_off(*_: object) -> None:
        raise SystemExit

    with keeping(registry, vendor) as keeper:
        call = registry.reserve(request()).call
        monkeypatch.setattr(registry, "record", break_off)
        with pytest.raises(SystemExit):
            keeper.record(call, "live_1")
        wait_until(lambda: vendor.attempts_at(call) == 1, seconds=2, what="the ending")


def test_a_stop_finishes_what_only_this_process_can_end(own_redis: RedisServer) -> None:
    vendor = Vendor(takes=1)
    registry = redis_calls(own_redis)
    with keeping(registry, vendor) as keeper:
        lose_at_recording(keeper, registry, own_redis)
        keeper.stop(5)
        assert [attempt.ended is not None for attempt in vendor.attempts] == [True]


def test_an_ending_for_which_there_is_no_thread_is_tried_again(
    own_redis: RedisServer, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, refused = threading.Thread.start, []

    def refuse_once(thread: threading.Thread) -> None:
        if thread.name == "call-keeping" and not refused:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    registry = redis_calls(own_redis)
    with keeping(registry, vendor) as keeper:
        monkeypatch.setattr(threading.Thread, "start", refuse_once)
        call = lose_at_recording(keeper, registry, own_redis)
        wait_until(lambda: vendor.attempts_at(call) == 1, seconds=3, what="the second attempt")
        assert refused


def test_the_keeper_works_under_gevent() -> None:
    """Its thread and those of its attempts are greenlets there."""
    program = """
        from gevent import monkey
        monkey.patch_all()
        import threading, time
        from tests.support.calls import Vendor, keeping, memory_calls, opened
        registry, vendor = memory_calls(), Vendor(takes=0.2)
        calls = [opened(registry) for _ in range(20)]
        with keeping(registry, vendor) as keeper:
            begun = time.monotonic()
            for call in calls:
                registry.end(call.id, "client")
            keeper.wake()
            while registry.counts().active and time.monotonic() < begun + 5:
                time.sleep(0.01)
            assert keeper.is_running
            assert time.monotonic() - begun < 2, time.monotonic() - begun
        assert len(vendor.attempts) == 20
    """
    run_program(program)


def test_a_keeper_that_does_not_look_is_not_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under a server that lets no thread run between two requests: no call may be opened there."""
    registry, vendor = memory_calls(), Vendor()
    with keeping(registry, vendor) as keeper:
        assert keeper.is_running
        monkeypatch.setattr("service.calls.keeper.SILENT_SECONDS", 0)
        assert not keeper.is_running


def test_without_a_thread_to_give_a_keeper_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    keeper = Keeper(memory_calls(), Vendor().calls, check_seconds=0)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    keeper.start()
    assert not keeper.is_running
    assert "cannot start the thread that ends calls" in caplog.text
