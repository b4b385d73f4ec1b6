"""Ending a call at the vendor, way by way: what each answer proves, and what is tried next."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest

from service.calls.model import Call
from service.calls.offer_words import without_offer
from service.calls.vendor_calls import CallsAtVendor
from service.core.errors import UpstreamTimeoutError
from service.core.model import Offer
from service.vendors.base import Request, Response
from service.vendors.control_sockets import ControlSocketError
from service.vendors.openai_calls import OpenAICalls
from service.vendors.responses import refusal
from tests.support.offers import OFFER

T = TypeVar("T")
CLOSED = '{"type": "session.closed", "usage": {"seconds": 17}}'


def call(kind: str, *, attempts: int = 1) -> Call:
    called = Call("call_1", "user", kind, "a-model", "ending", 1, 0, 600_000, upstream_id=f"{kind}_1")  # type: ignore[arg-type]
    return replace(called, attempts=attempts)


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
        (Vendor(socket=refused(401), hangup=404), "failed", 3),
        (Vendor(socket=refused(None), hangup=404), "failed", 3),
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


@pytest.mark.parametrize(("attempts", "state"), [(5, "failed"), (6, "not_found"), (20, "not_found")])
def test_a_hangup_alone_is_believed_in_the_end_where_no_control_socket_can_be_opened(
    attempts: int, state: str
) -> None:
    """A network may never let one through, and a call that has ended is not to hold its slot for hours."""
    vendor = Vendor(socket=refused(None), hangup=404)

    assert at(vendor).end(call("live", attempts=attempts)).state == state


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


@pytest.mark.parametrize(
    "quoted",
    [
        "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host",
        "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host",
        "127.0.0.1",
        "(127.0.0.1:9)",
        "duY31JHdiKvHuymbVC15oI2g",
        "password:duY31JHdiKvHuymbVC15oI2g",
        "03:ED:A0:A6:17:6B:F5:15:E5:32:6F:77:63:D3:C7:B5:E0:0E:B3:38:87:AC:E1:00:01:1D:B5:A7:5D:1A:34:43",
        "x" * 2000,
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_the_vendors_words_are_neither_passed_on_nor_logged_where_they_repeat_the_offer(
    quoted: str, status: int
) -> None:
    said = {"message": f"Cannot parse {quoted}.", "code": "invalid_offer"}
    error = refusal(Response(status, {"x-request-id": "req_1"}, json.dumps({"error": said}).encode()))

    told = without_offer(error, Offer(OFFER.encode()))

    assert quoted not in told.message + str(told.reason)
    assert f"the vendor answered {status}, code 'invalid_offer' (request req_1)" in str(told.reason)


@pytest.mark.parametrize(
    "words",
    ["Invalid SDP offer.", "No m= section of UDP/TLS/RTP/SAVPF.", "Expected opus/48000/2.", "No a=rtcp-mux."],
)
@pytest.mark.parametrize("status", [400, 422])
def test_the_vendors_words_stay_where_they_tell_nothing_of_the_client(words: str, status: int) -> None:
    error = refusal(Response(status, {}, json.dumps({"error": {"message": words}}).encode()))

    told = without_offer(error, Offer(OFFER.encode()))

    assert told is error
    assert words in told.message + str(told.reason)
