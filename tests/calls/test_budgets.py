"""Minutes: how limits are written, and the arithmetic of reserving, charging and giving back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.budgets import (
    MinuteLimit,
    Window,
    charge,
    current_window,
    give_back,
    grantable,
    left_in,
    parse_minutes,
    reserve,
)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("60/day", [(3600, 86_400)]),
        ("600/month;60/day", [(3600, 86_400), (36_000, 30 * 86_400)]),
        ("60/day;30/day", [(1800, 86_400)]),
        ("5 per 2 hours, 1/minute", [(60, 60), (300, 7200)]),
    ],
)
def test_limits_are_written_in_minutes(text: str, limits: list[tuple[int, int]]) -> None:
    """In the notation of the limits library; of two with one window the stricter counts."""
    assert parse_minutes(text) == tuple(MinuteLimit(*limit) for limit in limits)


@pytest.mark.parametrize(
    "text", ["", "60", "60/fortnight", "an hour", "0/day", "60/day;0/month", "9999999999/day", "1/11 years"]
)
def test_what_is_no_limit_says_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 60/day;600/month"):
        parse_minutes(text)


def test_a_window_begins_with_its_first_reservation_and_is_fixed() -> None:
    limit = MinuteLimit(600, 3600)
    window = current_window(None, limit, now=5000, new_id=1)
    assert window == Window(1, 3_605_000, 0)
    used = reserve(window, 60_000)
    assert current_window(used, limit, now=3_604_999, new_id=2) == used
    assert current_window(used, limit, now=3_605_000, new_id=2) == Window(2, 7_205_000, 0)


@pytest.mark.parametrize(
    ("wanted", "left", "given_seconds"),
    [
        (600, [], 600),
        (600, [400_999, 500_000], 400),
        (600, [30_000], 30),
        (600, [29_999], 0),
        (30, [10**9], 30),
    ],
)
def test_a_call_is_given_whole_seconds_of_what_is_left_in_every_window(
    wanted: int, left: list[int], given_seconds: int
) -> None:
    assert grantable(wanted, left) == given_seconds


def test_a_limit_that_was_lowered_leaves_nothing() -> None:
    assert left_in(Window(1, 0, used=700_000), MinuteLimit(600, 3600)) == 0


@given(
    reserved=st.integers(30_000, 10**7), elapsed=st.integers(0, 10**8), told=st.none() | st.integers(0, 10**8)
)
def test_a_charge_is_15_seconds_at_least_and_what_was_reserved_at_most(
    reserved: int, elapsed: int, told: int | None
) -> None:
    charged = charge(reserved, elapsed, told)
    assert 15_000 <= charged <= reserved
    wanted = elapsed if told is None else told
    assert charged == wanted or wanted < 15_000 or wanted > reserved


def test_unused_time_goes_back_to_its_own_window_only() -> None:
    window = Window(7, 10_000, used=600_000)
    assert give_back(window, 7, 500_000) == Window(7, 10_000, used=100_000)
    assert give_back(window, 6, 500_000) == window
    assert give_back(None, 6, 500_000) is None
