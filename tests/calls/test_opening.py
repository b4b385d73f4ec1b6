"""An opening takes a slot first, and whatever becomes of it, nothing is open that nobody can end."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from service.budgets import MinuteLimit
from service.calls.errors import CallEndedError, CallRegistryUnavailableError, TooManyCallsError
from service.calls.keeper import Keeper
from service.calls.memory_registry import MemoryCalls
from service.calls.model import Reservation
from service.calls.opening import OpeningFailedError, open_call
from service.core.errors import UpstreamTimeoutError, UpstreamUnavailableError
from tests.support.calls import Vendor, keeping, memory_calls, new_user, request
from tests.support.processes import wait_until

A_DAY = [MinuteLimit(3600, 86_400)]


@dataclass
class Answer:
    """What the vendor answers."""

    upstream_id: str


@pytest.fixture
def registry() -> MemoryCalls:
    """Give a registry."""
    return memory_calls()


def answer(reservation: Reservation) -> Answer:
    """Open a call at the vendor."""
    return Answer(f"live_{reservation.call.id}")


def test_an_opened_call_is_recorded(registry: MemoryCalls) -> None:
    with keeping(registry, Vendor()) as keeper:
        opened = open_call(registry, keeper, request(), answer)
        assert opened.call == registry.get(opened.call.id)
        assert (opened.call.state, opened.call.upstream_id) == ("open", opened.answer.upstream_id)
        assert opened.reservation.minutes[0].left == 3000


def test_a_vendor_is_not_asked_where_there_is_no_slot(registry: MemoryCalls) -> None:
    user, asked = new_user(), []
    with keeping(registry, Vendor()) as keeper:
        open_call(registry, keeper, request(user), answer)
        with pytest.raises(TooManyCallsError):
            open_call(registry, keeper, request(user, at_limit="refuse"), asked.append)
    assert not asked


def test_a_definite_failure_gives_everything_back(registry: MemoryCalls) -> None:
    user = new_user()

    def fail(_: Reservation) -> Answer:
        raise OpeningFailedError(UpstreamUnavailableError("no connection"), definite=True)

    with (
        keeping(registry, Vendor()) as keeper,
        pytest.raises(UpstreamUnavailableError, match="no connection"),
    ):
        open_call(registry, keeper, request(user), fail)
    assert registry.counts().active == 0
    assert registry.minutes(user, A_DAY)[0].left == 3600


@pytest.mark.parametrize(
    "failure",
    [
        OpeningFailedError(UpstreamTimeoutError("too late"), definite=False),
        RuntimeError("a bug"),
        SystemExit(),
    ],
    ids=["timeout", "bug", "killed"],
)
def test_any_other_failure_leaves_the_outcome_unknown(registry: MemoryCalls, failure: BaseException) -> None:
    user = new_user()

    def fail(_: Reservation) -> Answer:
        raise failure

    with keeping(registry, Vendor()) as keeper:
        with pytest.raises((UpstreamTimeoutError, RuntimeError, SystemExit)):
            open_call(registry, keeper, request(user), fail)
        assert registry.counts().active == 1
        assert registry.minutes(user, A_DAY)[0].left == 3585
        open_call(registry, keeper, request(user, at_limit="refuse"), answer)


def test_a_call_that_is_replaced_while_it_is_opened_is_ended(registry: MemoryCalls) -> None:
    user, vendor = new_user(), Vendor()
    with keeping(registry, vendor) as keeper:

        def overtaken(reservation: Reservation) -> Answer:
            open_call(registry, keeper, request(user), answer)
            return answer(reservation)

        with pytest.raises(CallEndedError):
            open_call(registry, keeper, request(user), overtaken)
        wait_until(lambda: len(vendor.attempts) == 1, seconds=2, what="the ending")
        assert len(registry.list_calls(states=("open",), user=user)) == 1


def test_no_call_is_opened_where_none_could_be_ended(registry: MemoryCalls) -> None:
    keeper = Keeper(registry, Vendor().calls, check_seconds=0)
    with pytest.raises(CallRegistryUnavailableError):
        open_call(registry, keeper, request(), answer)
    assert registry.counts().active == 0
