"""How OpenAI opens and ends sessions, as bytes: requests as they are sent, answers as they were recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.core import errors
from service.core.model import Grant, Offer
from service.vendors.base import Closing, OpenedSession, Response
from service.vendors.dialect import VENDORS
from service.vendors.openai_calls import OpenAICalls
from tests.support.offers import OFFER

API = OpenAICalls()
USER = "f" * 64
LIVE = {"type": "live", "model": "gpt-live-1.1", "store": False}
REALTIME = {"type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Sei höflich."}
ANSWER = b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"


def grant(session: dict[str, Any]) -> Grant:
    return Grant(session["type"], session["model"], session, 60, action="call")


def created(
    body: bytes = ANSWER, location: str = "/v1/realtime/calls/rtc_u0_E4T", status: int = 201
) -> Response:
    return Response(status, {"location": location, "x-request-id": "req_1"}, body)


def live(**answer: Any) -> Response:
    good = {"session": {"id": "live_u0_1"}, "transport": {"type": "webrtc", "sdp": ANSWER.decode()}}
    return Response(201, {}, json.dumps(good | answer).encode())


def refusal(status: int, body: bytes = b'{"error": {"message": "No.", "type": "server_error"}}') -> Response:
    return Response(status, {}, body)


def test_a_live_session_is_asked_for_in_json_that_names_its_user_and_no_type() -> None:
    request = API.open_call(grant(LIVE), Offer(OFFER.encode()), USER)

    assert (request.method, request.path, request.retryable) == ("POST", "/live/sessions", False)
    assert json.loads(request.body) == {
        "session": {"model": "gpt-live-1.1", "store": False, "safety_identifier": USER},
        "transport": {"type": "webrtc", "sdp": OFFER},
    }
    assert OFFER not in repr(request)


def test_a_realtime_call_is_asked_for_in_a_form_whose_parts_are_the_bytes_as_they_came() -> None:
    sdp = b"v=0\r\n\xff\xfe not UTF-8\n\n\r\n"
    request = API.open_call(grant(REALTIME), Offer(sdp, 7), USER)

    assert (request.path, request.retryable) == ("/realtime/calls?dcid=7", False)
    assert request.headers["OpenAI-Safety-Identifier"] == USER
    boundary = request.headers["Content-Type"].partition("boundary=")[2].encode()
    before, first, second, after = request.body.split(b"--" + boundary)
    assert (before, after) == (b"", b"--\r\n")
    head, _, content = first.partition(b"\r\n\r\n")
    assert b'name="sdp"' in head
    assert b"Content-Type: application/sdp" in head
    assert content == sdp + b"\r\n"
    head, _, content = second.partition(b"\r\n\r\n")
    assert b'name="session"' in head
    assert json.loads(content) == REALTIME


def test_the_answers_are_read_as_they_were_recorded() -> None:
    assert API.read_call("realtime", created()) == OpenedSession("rtc_u0_E4T", ANSWER)
    assert API.read_call("live", live()) == OpenedSession("live_u0_1", ANSWER)


@pytest.mark.parametrize(
    "response",
    [
        created(location=""),
        created(location="https://elsewhere/"),
        created(location="/v1/realtime/calls/../../x y"),
        live(session={}),
        live(session={"id": 7}),
        live(session={"id": ""}),
        Response(201, {}, b"<!doctype html>"),
        Response(201, {}, b'{"session": {"id": "live'),
    ],
)
def test_an_answer_that_names_no_session_is_an_error(response: Response) -> None:
    kind = "realtime" if "location" in response.headers else "live"
    with pytest.raises(errors.UpstreamError):
        API.read_call(kind, response)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sdp", [b"", b"<html>", b"v=0\r\n" + b"a" * 65_536, b"v=0\r\n\xff"], ids=["none", "HTML", "long", "bytes"]
)
def test_a_session_without_a_usable_answer_is_told_to_be_ended(sdp: bytes) -> None:
    opened = API.read_call("realtime", created(sdp))
    assert (opened.upstream_id, opened.sdp) == ("rtc_u0_E4T", b"")
    assert isinstance(opened.problem, errors.UpstreamError)


@pytest.mark.parametrize(
    ("response", "certain"),
    [
        (refusal(400), True),
        (refusal(429, b"<html>"), True),
        (refusal(499), True),
        (refusal(500), True),
        (refusal(503), True),
        (refusal(500, b"<html>"), False),
        (refusal(503, b""), False),
        (refusal(502), False),
        (refusal(504), False),
        (refusal(302), False),
    ],
)
def test_only_what_the_vendor_surely_refused_opened_nothing(response: Response, certain: bool) -> None:
    assert API.is_refusal(response) is certain


def test_a_realtime_call_is_ended_by_hangup_and_a_live_one_over_its_socket_first() -> None:
    realtime, live_ = API.end_call("realtime", "rtc_1"), API.end_call("live", "live_1")

    assert (realtime.request.path, realtime.socket_path) == ("/realtime/calls/rtc_1/hangup", None)
    assert live_.request.path == "/live/sessions/live_1/hangup"
    assert live_.socket_path == "/live/sessions/live_1/attach?graceful_close=true"
    assert json.loads(live_.message) == {"type": "session.close"}
    assert API.control_socket("realtime", "rtc_1") == "/realtime?call_id=rtc_1"
    assert API.control_socket("live", "live_1") == "/live/sessions/live_1/attach"


@pytest.mark.parametrize(
    ("message", "closing"),
    [
        ('{"type": "session.closed", "reason": "close_requested", "usage": {"seconds": 17}}', Closing(17)),
        ('{"type": "session.closed", "usage": {"seconds": -1}}', Closing()),
        ('{"type": "session.closed", "usage": {"seconds": true}}', Closing()),
        ('{"type": "session.closed"}', Closing()),
        ('{"type": "session.output_audio.delta", "delta": "session.closed"}', None),
        ('{"type": "info", "about": {"type": "session.closed"}}', None),
        ('"session.closed"', None),
        ('{"type": "session.closed"', None),
    ],
)
def test_only_session_closed_confirms_an_end(message: str, closing: Closing | None) -> None:
    assert API.read_closing(message) == closing


def test_the_retired_beta_has_no_calls() -> None:
    beta = VENDORS["openai"].beta
    assert beta is not None
    assert beta.calls is None
    assert beta.layout.call_types == ()
