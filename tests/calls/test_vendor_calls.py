"""Ending a call at the vendor, way by way: what each answer proves, and what is tried next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from service.calls.model import Call
from service.calls.vendor_calls import CallsAtVendor, without_offer
from service.core.errors import RejectedSessionError, UpstreamTimeoutError
from service.core.model import Offer
from service.vendors.base import Request, Response
from service.vendors.control_sockets import ControlSocketError
from service.vendors.openai_calls import OpenAICalls
from tests.support.offers import OFFER

T = TypeVar("T")
CLOSED = '{"type": "session.closed", "usage": {"seconds": 17}}'


def call(kind: str) -> Call:
    return Call("call_1", "user", kind, "a-model", "ending", 1, 0, 600_000, upstream_id=f"{kind}_1")  # type: ignore[arg-type]


@dataclass
class Vendor:
    """Stands for both ways to the vendor, and answers as told: a status, or a failure."""

    hangup: int | Exception = 200
    socket: str | Exception = CLOSED
    is_running: bool | Exception = False
    asked: list[str] = field(default_factory=list)

    def send(self, *asked: object, seconds: float) -> object:
        assert 0 < seconds <= 15
        if isinstance(asked[0], Request):
            self.asked.append(asked[0].path)
            return Response(self._give(self.hangup), {}, b"")
        path, message, read = asked
        assert callable(read)
        self.asked += [str(path), str(message)]
        return read(self._give(self.socket))

    def is_open(self, path: str, *, seconds: float) -> bool:
        assert 0 < seconds <= 15
        self.asked.append(path)
        return self._give(self.is_running)

    @staticmethod
    def _give(answer: T | Exception) -> T:
        if isinstance(answer, Exception):
            raise answer
        return answer


def refused(status: int | None) -> ControlSocketError:
    return ControlSocketError("refused", status=status)


LATE = UpstreamTimeoutError("No answer.", reason="no answer within 10 s")


@pytest.mark.parametrize(
    ("vendor", "state", "steps"),
    [
        (Vendor(), "ended", 2),
        (Vendor(socket=refused(404)), "ended", 4),
        (Vendor(socket=refused(500)), "ended", 4),
        (Vendor(socket=refused(None), is_running=refused(500)), "ended", 4),
        (Vendor(socket=refused(404), is_running=True), "failed", 4),
        (Vendor(socket=refused(404), hangup=404), "not_found", 3),
        (Vendor(socket=refused(404), hangup=500), "failed", 3),
        (Vendor(socket=refused(None), hangup=LATE), "failed", 3),
    ],
)
def test_a_live_call_is_closed_over_its_socket_and_then_by_hangup(
    vendor: Vendor, state: str, steps: int
) -> None:
    outcome = at(vendor).end(call("live"))

    assert outcome.state == state
    assert len(vendor.asked) == steps
    assert outcome.told_seconds == (17 if vendor.socket == CLOSED else None)
    if state == "failed":
        assert outcome.reason


@pytest.mark.parametrize(
    ("hangup", "state"),
    [(200, "ended"), (404, "not_found"), (409, "failed"), (500, "failed"), (LATE, "failed")],
)
def test_a_realtime_call_is_ended_by_one_request(hangup: int | Exception, state: str) -> None:
    vendor = Vendor(hangup=hangup)

    assert at(vendor).end(call("realtime")).state == state
    assert vendor.asked == ["/realtime/calls/realtime_1/hangup"]


@pytest.mark.parametrize(("is_running", "state"), [(True, "running"), (refused(500), "failed")])
@pytest.mark.parametrize("kind", ["live", "realtime"])
def test_a_check_opens_the_socket_and_no_more(kind: str, is_running: bool | Exception, state: str) -> None:
    vendor = Vendor(is_running=is_running)

    assert at(vendor).check(call(kind)).state == state
    assert len(vendor.asked) == 1


@pytest.mark.parametrize(
    ("hangup", "state"),
    [
        (404, "not_found"),
        (200, "not_found"),
        (405, "not_found"),  # this type of call has no hangup
        (403, "failed"),
        (429, "failed"),
        (500, "failed"),
        (LATE, "failed"),
    ],
)
@pytest.mark.parametrize("kind", ["live", "realtime"])
def test_a_check_that_finds_no_session_ends_the_one_that_nobody_is_connected_to(
    kind: str, hangup: int | Exception, state: str
) -> None:
    """As its socket answers 404, too: a call counts as ended only once nothing can be running."""
    vendor = Vendor(hangup=hangup)

    assert at(vendor).check(call(kind)).state == state
    assert [path.rpartition("/")[2] for path in vendor.asked[1:]] == ["hangup"]


def at(vendor: Vendor) -> CallsAtVendor:
    return CallsAtVendor(OpenAICalls(), vendor, vendor)  # type: ignore[arg-type]


def test_the_vendors_words_are_not_passed_on_where_they_repeat_the_offer() -> None:
    offer, line = Offer(OFFER.encode()), OFFER.splitlines()[9]
    quoting = RejectedSessionError(
        f"Invalid line: '{line}'.", param="sdp", code="invalid_offer", reason="400"
    )

    assert line not in without_offer(quoting, offer).message
    plain = RejectedSessionError("Invalid SDP offer.", param="sdp", code="invalid_offer")
    assert without_offer(plain, offer) is plain
