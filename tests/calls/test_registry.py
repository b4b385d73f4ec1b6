"""What the registry promises of one call after another, in memory and on Redis alike."""

from __future__ import annotations

import pytest

from service.budgets import MinuteLimit
from service.calls.errors import CallMinutesExhaustedError, CallNotFoundError, TooManyCallsError
from service.calls.model import MOVES
from service.calls.redis_registry import RedisCalls
from service.calls.registry import CallRegistry
from tests.support.calls import (
    OPENING_SECONDS,
    Clock,
    Scripts,
    new_user,
    opened,
    poll,
    redis_calls,
    request,
)
from tests.support.redis import RedisServer

A_DAY = (MinuteLimit(3600, 86_400),)


def left(registry: CallRegistry, user: str) -> int:
    """Return how many seconds of a user's 60 minutes a day are left."""
    return registry.minutes(user, A_DAY)[0].left


def test_a_call_goes_from_opening_to_ended(registry: CallRegistry, clock: Clock) -> None:
    """And is charged the time it was open, from its recording to its confirmed end."""
    user = new_user()
    reservation = registry.reserve(request(user, seconds=600))
    call = reservation.call
    assert (call.state, call.max_seconds, left(registry, user)) == ("opening", 600, 3000)
    assert registry.list_calls(states=("open",), user=user) == registry.list_calls() == ()

    clock.advance(1)
    recorded = registry.record(call.id, "live_1")
    assert recorded is not None
    assert (recorded.state, recorded.upstream_id) == ("open", "live_1")
    assert recorded.opened_at == clock.now()
    assert recorded.expires_at == clock.now() + 600
    assert registry.list_calls(states=("open",), user=user) == registry.list_calls() == (recorded,)

    clock.advance(100)
    change = registry.end(call.id, "client", user=user)
    assert change is not None
    assert change.changed
    assert change.call.state == "ending"
    (claim,) = poll(registry).claims
    assert claim.call.attempts == 1

    clock.advance(0.5)
    ended = registry.confirm(call.id, "vendor")
    assert ended is not None
    assert (ended.call.state, ended.call.ended_by) == ("ended", "client")
    assert (ended.call.seconds, ended.call.charged_seconds) == (100.5, 100.5)
    assert ended.call.ended_at == clock.now()
    assert registry.get(call.id) == ended.call
    assert registry.list_calls() == ()
    assert left(registry, user) == 3600 - 101
    assert registry.counts().active == 0


def test_an_ended_call_can_be_read_for_an_hour(registry: CallRegistry, clock: Clock) -> None:
    call = opened(registry)
    registry.confirm(call.id, "vendor")
    clock.advance(3599)
    assert registry.get(call.id) is not None
    clock.advance(1)
    assert registry.get(call.id) is None


@pytest.mark.parametrize(
    ("open_for", "told", "charged"),
    [(3, None, 15), (20, None, 20), (20, 31.5, 31.5), (700, None, 600), (20, 900, 600), (20, 4, 15)],
)
def test_the_charge_is_the_time_open_or_what_the_vendor_tells(
    registry: CallRegistry, clock: Clock, open_for: float, told: float | None, charged: float
) -> None:
    """Never under 15 s, never over what was reserved."""
    user = new_user()
    call = opened(registry, user, seconds=600)
    clock.advance(open_for)
    change = registry.confirm(call.id, "vendor", told_ms=None if told is None else round(1000 * told))
    assert change is not None
    assert change.call.charged_seconds == charged
    assert left(registry, user) == int(3600 - charged)


def test_a_call_is_charged_once(registry: CallRegistry, clock: Clock) -> None:
    user = new_user()
    call = opened(registry, user)
    clock.advance(60)
    first = registry.confirm(call.id, "vendor")
    clock.advance(60)
    second = registry.confirm(call.id, "client", told_ms=500_000)
    assert first
    assert second
    assert (first.changed, second.changed) == (True, False)
    assert second.call == first.call
    assert left(registry, user) == 3540


def test_a_refused_opening_gives_everything_back(registry: CallRegistry) -> None:
    user = new_user()
    call = registry.reserve(request(user, at_limit="refuse", calls_global=1)).call
    registry.refuse(call.id)
    assert registry.get(call.id) is None
    assert left(registry, user) == 3600
    opened(registry, user, at_limit="refuse", calls_global=1)
    registry.refuse(call.id)  # nothing is left to give back
    assert left(registry, user) == 3000


def test_an_open_call_is_not_refused_any_more(registry: CallRegistry) -> None:
    call = opened(registry)
    registry.refuse(call.id)
    registry.lose(call.id)
    assert registry.get(call.id) == call


def test_an_opening_of_unknown_outcome_counts_for_all_but_not_for_its_user(
    registry: CallRegistry, clock: Clock
) -> None:
    """For 120 s; 15 s are charged."""
    user = new_user()
    call = registry.reserve(request(user, at_limit="refuse", calls_global=2)).call
    registry.lose(call.id)
    assert left(registry, user) == 3585
    assert registry.list_calls(states=("open",), user=user) == ()
    opened(registry, user, at_limit="refuse", calls_global=2)
    with pytest.raises(TooManyCallsError) as refused:
        registry.reserve(request(calls_global=2))
    assert refused.value.limit == "global"
    assert refused.value.retry_after == 120

    clock.advance(120)
    found = poll(registry)
    assert [(each.id, each.ended_by, each.charged_seconds) for each in found.ended] == [
        (call.id, "unknown", 15)
    ]
    assert not found.claims
    registry.reserve(request(calls_global=2))
    assert left(registry, user) == 2985


def test_a_call_whose_opening_takes_too_long_becomes_unknown(registry: CallRegistry, clock: Clock) -> None:
    """Its process died."""
    user = new_user()
    call = registry.reserve(request(user)).call
    clock.advance(OPENING_SECONDS - 0.001)
    assert not poll(registry).lost
    clock.advance(0.001)
    assert [each.id for each in poll(registry).lost] == [call.id]
    assert left(registry, user) == 3585


def test_an_id_that_comes_late_is_kept_so_that_the_session_is_ended(
    registry: CallRegistry, clock: Clock
) -> None:
    """It is charged no second time."""
    user = new_user()
    call = registry.reserve(request(user)).call
    registry.lose(call.id)
    recorded = registry.record(call.id, "live_late")
    assert recorded
    assert recorded.state == "ending"
    (claim,) = poll(registry).claims
    assert claim.call.upstream_id == "live_late"
    clock.advance(60)
    change = registry.confirm(call.id, "vendor")
    assert change
    assert change.call.charged_seconds == 15
    assert left(registry, user) == 3585


def test_an_id_that_comes_too_late_is_not_taken(registry: CallRegistry, clock: Clock) -> None:
    """Who opened the session must end it."""
    call = registry.reserve(request()).call
    registry.lose(call.id)
    clock.advance(120)
    poll(registry)
    recorded = registry.record(call.id, "live_late")
    assert recorded
    assert (recorded.state, recorded.upstream_id) == ("ended", None)
    assert registry.record("call_unheard_of", "live_2") is None


@pytest.mark.parametrize("cause", ["client", "revoked", "admin"])
def test_a_call_that_is_to_end_while_it_is_opened_is_due_once_its_id_is_known(
    registry: CallRegistry, cause: str
) -> None:
    user = new_user()
    call = registry.reserve(request(user)).call
    if cause == "revoked":
        assert [each.id for each in registry.end_user(user, "revoked")] == [call.id]
    else:
        registry.end(call.id, "client" if cause == "client" else "admin")
    assert not poll(registry).claims
    recorded = registry.record(call.id, "live_1")
    assert recorded
    assert (recorded.state, recorded.ended_by) == ("ending", cause)
    assert [claim.call.id for claim in poll(registry).claims] == [call.id]


def test_the_oldest_calls_are_replaced(registry: CallRegistry) -> None:
    """In the same step, and no more of them than needed."""
    user = new_user()
    first, second = (opened(registry, user, calls=2) for _ in range(2))
    reservation = registry.reserve(request(user, calls=2))
    assert reservation.replaced == (first.id,)
    replaced = registry.get(first.id)
    assert replaced
    assert (replaced.state, replaced.ended_by) == ("ending", "replaced")
    assert registry.list_calls(states=("open",), user=user) == (second,)
    assert set(registry.reserve(request(user, calls=1)).replaced) == {second.id, reservation.call.id}


def test_a_user_at_the_limit_is_refused_until_the_first_deadline(
    registry: CallRegistry, clock: Clock
) -> None:
    user = new_user()
    opened(registry, user, calls=2, seconds=300)
    clock.advance(10)
    opened(registry, user, calls=2, seconds=100)
    with pytest.raises(TooManyCallsError) as refused:
        registry.reserve(request(user, calls=2, at_limit="refuse"))
    assert (refused.value.limit, refused.value.retry_after) == ("user", 100)
    assert refused.value.minutes[0].left == 3200


def test_ending_calls_hold_a_slot_of_all_but_none_of_their_user(registry: CallRegistry) -> None:
    user = new_user()
    call = opened(registry, user, at_limit="refuse")
    registry.end(call.id, "client")
    other = opened(registry, user, at_limit="refuse")
    with pytest.raises(TooManyCallsError):
        registry.reserve(request(calls_global=2))
    assert [each.id for each in registry.list_calls(user=user)] == [call.id, other.id]


def test_a_refusal_replaces_nothing(registry: CallRegistry) -> None:
    user = new_user()
    call = opened(registry, user, seconds=60, minutes="1/day")
    with pytest.raises(CallMinutesExhaustedError):
        registry.reserve(request(user, minutes="1/day"))
    with pytest.raises(TooManyCallsError):
        registry.reserve(request(user, calls_global=1))
    assert registry.list_calls(states=("open",), user=user) == (call,)


def test_a_call_is_given_what_is_left_but_not_less_than_30_seconds(
    registry: CallRegistry, clock: Clock
) -> None:
    user = new_user()
    clock.advance(0)
    opened(registry, user, seconds=150, minutes="3/hour;60/day")
    reservation = registry.reserve(request(user, seconds=150, minutes="3/hour;60/day"))
    assert reservation.call.max_seconds == 30
    assert [(each.left, each.resets_in) for each in reservation.minutes] == [(0, 3600), (3420, 86_400)]
    clock.advance(60)
    with pytest.raises(CallMinutesExhaustedError) as refused:
        registry.reserve(request(user, seconds=150, minutes="3/hour;60/day"))
    assert (refused.value.limit, refused.value.retry_after) == ("user", 3540)


def test_minutes_of_all_users_together_are_limited(registry: CallRegistry) -> None:
    opened(registry, seconds=90, minutes_global="2/hour")
    assert registry.reserve(request(seconds=90, minutes_global="2/hour")).call.max_seconds == 30
    with pytest.raises(CallMinutesExhaustedError) as refused:
        registry.reserve(request(seconds=90, minutes_global="2/hour"))
    assert (refused.value.limit, refused.value.retry_after) == ("global", 3600)
    assert [each.left for each in refused.value.minutes] == [3600]


@pytest.mark.parametrize("user", ["00" * 32, "ff" * 32])
def test_where_both_limits_are_used_up_for_as_long_the_users_is_named(
    registry: CallRegistry, user: str
) -> None:
    limits = {"seconds": 90, "minutes": "1/hour", "minutes_global": "1/hour"}
    assert registry.reserve(request(user, **limits)).call.max_seconds == 60
    with pytest.raises(CallMinutesExhaustedError) as refused:
        registry.reserve(request(user, **limits))
    assert refused.value.limit == "user"


def test_a_call_that_ended_a_while_ago_is_charged_until_then(registry: CallRegistry, clock: Clock) -> None:
    """Who found it ended could not tell the storage before."""
    user = new_user()
    call = opened(registry, user, seconds=600)
    clock.advance(100)
    ended = registry.confirm(call.id, "deadline", ago_ms=40_000)
    assert ended is not None
    assert (ended.call.seconds, ended.call.charged_seconds) == (60, 60)
    assert ended.call.ended_at == clock.now() - 40
    assert left(registry, user) == 3540
    early = opened(registry, user, seconds=600)
    ended = registry.confirm(early.id, "deadline", ago_ms=40_000)
    assert ended is not None
    assert (ended.call.seconds, ended.call.ended_at) == (0, early.opened_at)


def test_what_is_given_back_goes_to_the_window_it_was_taken_from(
    registry: CallRegistry, clock: Clock
) -> None:
    """Not to the next one, which it never burdened."""
    user, hour = new_user(), (MinuteLimit(600, 3600),)
    late = {"seconds": 300, "minutes": "10/hour", "calls": 5}
    first = opened(registry, user, **late)
    clock.advance(3599)
    second = opened(registry, user, **late)
    clock.advance(1)
    third = opened(registry, user, **late)
    assert registry.minutes(user, hour)[0].left == 300
    for call in (first, second):
        registry.confirm(call.id, "vendor")
        assert registry.minutes(user, hour)[0].left == 300
    registry.confirm(third.id, "vendor")
    assert registry.minutes(user, hour)[0].left == 585


def test_one_process_ends_a_call_as_long_as_it_holds_its_claim(registry: CallRegistry, clock: Clock) -> None:
    call = opened(registry, seconds=60)
    clock.advance(59.999)
    assert not poll(registry).claims
    clock.advance(1.001)
    found = poll(registry)
    assert [(claim.call.ended_by, claim.late_ms) for claim in found.claims] == [("deadline", 1000)]
    assert found.next_ms == clock.milliseconds() + 2000
    claimed = found.claims[0].call

    clock.advance(1.9)
    assert not poll(registry).claims
    assert registry.postpone([(claimed, 2)]) == {call.id}
    clock.advance(1.9)
    assert not poll(registry).claims
    clock.advance(0.1)
    (again,) = poll(registry).claims
    assert again.call.attempts == 2
    assert registry.postpone([(claimed, 30), (again.call, 4)]) == {call.id}
    clock.advance(3.9)
    assert not poll(registry).claims
    clock.advance(0.1)
    assert len(poll(registry).claims) == 1


def test_due_calls_are_taken_oldest_first_and_no_more_than_asked(
    registry: CallRegistry, clock: Clock
) -> None:
    calls = [opened(registry, seconds=seconds) for seconds in (90, 30, 60)]
    clock.advance(100)
    assert registry.counts().due == 3
    assert [claim.call.id for claim in poll(registry, 2).claims] == [calls[1].id, calls[2].id]
    assert registry.counts().due == 1
    assert not poll(registry, 0).claims


def test_calls_older_than_two_minutes_are_checked_at_intervals(registry: CallRegistry, clock: Clock) -> None:
    call = opened(registry)
    clock.advance(119.9)
    assert not poll(registry, check_every=60).checks
    clock.advance(0.1)
    assert [each.id for each in poll(registry, check_every=60).checks] == [call.id]
    clock.advance(59.9)
    assert not poll(registry, check_every=60).checks
    clock.advance(0.1)
    assert not poll(registry, check_every=0).checks
    assert len(poll(registry, check_every=60).checks) == 1
    registry.end(call.id, "client")
    clock.advance(60)
    assert not poll(registry, check_every=60).checks


def test_an_open_call_that_is_found_ended_ended_at_the_vendor(registry: CallRegistry) -> None:
    call = opened(registry)
    change = registry.confirm(call.id, "vendor")
    assert change
    assert (change.call.ended_by, change.changed) == ("vendor", True)


def test_only_the_first_ending_changes_a_call(registry: CallRegistry) -> None:
    call = opened(registry)
    assert registry.end(call.id, "client", user=new_user()) is None
    assert registry.end("call_unheard_of", "client") is None
    changes = [registry.end(call.id, cause) for cause in ("client", "admin")]
    assert [(each.changed, each.call.ended_by) for each in changes if each] == [
        (True, "client"),
        (False, "client"),
    ]
    registry.confirm(call.id, "vendor")
    after = registry.end(call.id, "client")
    assert after
    assert (after.changed, after.call.state) == (False, "ended")


def test_all_calls_of_a_user_end_at_once_and_nobody_elses(registry: CallRegistry) -> None:
    user = new_user()
    other = opened(registry)
    calls = [opened(registry, user, calls=3) for _ in range(2)]
    calls.append(registry.reserve(request(user, calls=3)).call)
    assert [each.id for each in registry.end_user(user, "revoked")] == [each.id for each in calls]
    assert registry.end_user(user, "revoked") == ()
    assert registry.list_calls(states=("open",), user=user) == ()
    assert len(poll(registry).claims) == 2
    assert registry.get(other.id) == other


def test_the_list_of_all_calls_has_pages(registry: CallRegistry) -> None:
    calls = [opened(registry, calls_global=2000) for _ in range(1003)]
    registry.reserve(request(calls_global=2000))  # still opening, so not listed
    page = registry.list_calls()
    assert [each.id for each in page] == [each.id for each in calls[:1000]]
    assert [each.id for each in registry.list_calls(after=page[-1].id)] == [each.id for each in calls[1000:]]
    registry.confirm(page[-1].id, "vendor")
    assert len(registry.list_calls(after=page[-1].id)) == 3
    with pytest.raises(CallNotFoundError):
        registry.list_calls(after="call_unheard_of")


def test_a_list_has_as_many_calls_as_asked_for_and_goes_on_after_one(registry: CallRegistry) -> None:
    user, other = new_user(), opened(registry)
    calls = [opened(registry, user, calls=5) for _ in range(5)]
    for call in (calls[1], calls[3]):
        registry.end(call.id, "client")
    ids = [call.id for call in calls]

    assert [call.id for call in registry.list_calls(states=("open",), user=user, limit=2)] == [ids[0], ids[2]]
    assert [call.id for call in registry.list_calls(states=("open",), user=user, after=ids[0])] == [
        ids[2],
        ids[4],
    ]
    assert [call.id for call in registry.list_calls(states=("open",), user=user, after=ids[1])] == [
        ids[2],
        ids[4],
    ]
    assert [call.id for call in registry.list_calls(user=user, limit=3)] == ids[:3]
    assert [call.id for call in registry.list_calls(user=user, after=ids[0], limit=3)] == ids[1:4]
    assert [call.id for call in registry.list_calls(limit=2)] == [other.id, ids[0]]
    with pytest.raises(CallNotFoundError):
        registry.list_calls(states=("open",), user=user, after=other.id)


def test_a_users_calls_that_are_being_ended_take_half_of_all_at_most(registry: CallRegistry) -> None:
    """Whatever the vendor takes to end them; those of unknown outcome do not count against their user."""
    user, bounds = new_user(), {"calls_global": 10}
    registry.lose(registry.reserve(request(user, **bounds)).call.id)
    calls = [opened(registry, user, **bounds) for _ in range(6)]

    with pytest.raises(TooManyCallsError, match="still being ended") as refused:
        registry.reserve(request(user, **bounds))
    assert (refused.value.limit, refused.value.headers["Retry-After"]) == ("user", "5")
    opened(registry, **bounds)
    registry.confirm(calls[0].id, "replaced")
    opened(registry, user, **bounds)


def test_a_process_is_told_how_its_own_calls_are(registry: CallRegistry) -> None:
    running, ended = opened(registry), opened(registry)
    registry.confirm(ended.id, "vendor")
    asked = (running.id, "call_lost", ended.id)
    assert poll(registry, own=asked).own == {running.id: "open", "call_lost": None, ended.id: "ended"}


def test_a_clock_that_is_set_back_makes_no_time_negative(registry: CallRegistry, clock: Clock) -> None:
    user = new_user()
    call = opened(registry, user)
    clock.advance(-3600)
    change = registry.confirm(call.id, "vendor")
    assert change
    assert (change.call.seconds, change.call.charged_seconds) == (0, 15)
    assert left(registry, user) == 3585


def test_a_call_under_30_seconds_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="30 s or more"):
        request(seconds=29)


def test_states_only_ever_go_forward() -> None:
    order = ["opening", "open", "ending", "ended"]
    for moves in MOVES.values():
        for state, following in moves.items():
            assert following is None or order.index(following) >= order.index(state)
            assert state != "ended"


def test_an_opening_takes_two_round_trips(redis: RedisServer) -> None:
    scripts = Scripts(redis)
    opened(RedisCalls(scripts, opening_seconds=OPENING_SECONDS))
    assert scripts.round_trips == 2


def test_every_key_expires_and_has_the_hash_tag(redis: RedisServer) -> None:
    registry = redis_calls(redis)
    redis.client.flushall()
    opened(registry, minutes="60/day;600/month", minutes_global="1000/day")
    ended = opened(registry)
    registry.confirm(ended.id, "vendor")
    keys = list(redis.client.scan_iter())
    assert len(keys) >= 8
    for key in keys:
        assert key.startswith(b"{realtime-token}:calls:"), key
        assert redis.client.ttl(key) > 0, key
    ended_key = next(key for key in keys if ended.id.encode() in key)
    assert redis.client.ttl(ended_key) <= 3600


def test_a_confirmation_whose_answer_was_lost_can_be_repeated(redis: RedisServer) -> None:
    """Who repeats it learns that it was this one that ended the call; nobody else does."""
    registry = redis_calls(redis)
    call = opened(registry)
    changes = [registry.confirm(call.id, "vendor", confirmation=name) for name in ("one", "one", "other")]
    assert [change.changed for change in changes if change] == [True, True, False]


@pytest.mark.parametrize("lost", ["due", "active", "user:{user}"])
def test_a_call_that_redis_cannot_find_counts_as_lost(redis: RedisServer, lost: str) -> None:
    """Each key may be evicted by itself; the process that opened the call then ends it."""
    registry, user = redis_calls(redis), new_user()
    call, ended = opened(registry, user), opened(registry, new_user())
    registry.confirm(ended.id, "vendor")
    redis.client.zrem(f"{{realtime-token}}:calls:{lost.format(user=user)}", call.id)
    assert poll(registry, own=(call.id, ended.id)).own == {call.id: None, ended.id: "ended"}


def test_a_call_that_redis_lost_holds_no_slot(redis: RedisServer) -> None:
    """Evicted, or lost with the writes of the last second in a failover."""
    registry, user = redis_calls(redis), new_user()
    call = opened(registry, user, at_limit="refuse")
    redis.client.delete(f"{{realtime-token}}:calls:call:{call.id}")
    opened(registry, user, at_limit="refuse")
