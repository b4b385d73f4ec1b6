"""The routes of calls over real sockets, with the sandbox as the vendor: what goes there, and what comes back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.offers import CANDIDATE, OFFER
from tests.support.processes import wait_until
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.tokens import sign
from tests.support.voice import ADMIN_TOKEN, LIVE, MODELS, Voice, at_sandbox

SDP = {"Content-Type": "application/sdp"}


@pytest.fixture(scope="module")
def serving(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service that opens calls of both types."""
    variables = {
        "ALLOWED_MODELS": MODELS,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "METRICS_TOKEN": "a-token-for-metrics",
        "ALLOWED_ORIGINS": "https://app.test",
        "RATE_LIMIT_CALL_CONTROL_PER_USER": "20/minute",
        "CALLS_PER_USER": "2",
    }
    with running_service(sandbox.base_url, **variables) as service:
        yield service
        assert CANDIDATE not in service.run.output  # an offer holds addresses


@pytest.fixture
def voice(serving: TokenService, sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Voice]:
    """A user of the test's own."""
    sandbox.reset()
    voice = Voice(serving, sandbox, user=request.node.name)
    yield voice
    for call in voice.admin("GET", "/calls").json()["calls"]:
        voice.admin("DELETE", f"/calls/{call['id']}")
    voice.wait_until_ended()


def error_of(answer: requests.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code, answer.text
    assert CANDIDATE not in answer.text
    return error


@pytest.mark.parametrize(
    ("body", "kind", "model"),
    [
        ({"model": LIVE}, "live", LIVE),
        ({"session": {"type": "live"}}, "live", LIVE),
        ({}, "realtime", "gpt-realtime-2.1"),
        ({"session": {"type": "realtime", "instructions": "Be brief."}}, "realtime", "gpt-realtime-2.1"),
    ],
)
def test_a_call_is_opened_at_the_vendor_with_the_offer_as_it_came(
    voice: Voice, body: dict[str, Any], kind: str, model: str
) -> None:
    answer = voice.open(**body, max_seconds=90)

    assert answer.status_code == 201, answer.text
    call = answer.json()["call"]
    assert (call["type"], call["model"], call["state"], call["max_seconds"]) == (kind, model, "open", 90)
    assert call["expires_at"] - call["opened_at"] == 90
    assert answer.headers["Location"] == f"/calls/{call['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["sdp"].startswith("v=0\r\n")
    (there,) = at_sandbox(voice.sandbox, state="open")
    assert (there["api"], there["model"]) == (kind, model)
    assert there["id"] not in answer.text
    assert voice.listed() == [voice.read(call["id"])] == [call]


def test_the_vendors_raw_form_is_answered_as_the_vendor_does(voice: Voice) -> None:
    path = "/v1/realtime/calls?model=gpt-realtime-2.1&dcid=7&max_seconds=60"
    answer = voice.request("POST", path, data=OFFER, headers=SDP)

    assert answer.status_code == 201, answer.text
    assert answer.headers["Content-Type"] == "application/sdp"
    call_id = answer.headers["Location"].removeprefix("/v1/realtime/calls/")
    assert voice.read(call_id)["max_seconds"] == 60
    assert answer.text.endswith("\r\n")


def test_the_vendors_multipart_form_is_read_byte_for_byte(voice: Voice) -> None:
    form = {
        "sdp": (None, OFFER, "application/sdp"),
        "session": (None, json.dumps({"type": "realtime", "instructions": "Hm."}), "application/json"),
        "max_seconds": (None, "60"),
    }
    answer = voice.request("POST", "/v1/realtime/calls", files=form)

    assert answer.status_code == 201, answer.text
    assert at_sandbox(voice.sandbox)[-1]["session"]["instructions"] == "Hm."


@pytest.mark.parametrize(
    "body",
    [{"sdp": OFFER}, {"session": {"model": LIVE}, "transport": {"type": "webrtc", "sdp": OFFER}}],
    ids=["short", "the vendor's"],
)
def test_the_vendors_live_route_is_answered_as_the_vendor_does(voice: Voice, body: dict[str, Any]) -> None:
    answer = voice.service.post("/v1/live/sessions", body, jwt=voice.jwt)

    assert answer.status_code == 201, answer.text
    assert set(answer.json()) == {"session", "transport"}
    assert answer.json()["transport"]["type"] == "webrtc"
    assert voice.read(answer.json()["session"]["id"])["type"] == "live"


@pytest.mark.parametrize("route", ["/v1/realtime/calls", "/v1/live/sessions"])
def test_hangup_takes_the_id_of_any_call(voice: Voice, route: str) -> None:
    for body in ({"model": LIVE}, {}):
        call_id = voice.opened(**body)
        answer = voice.request("POST", f"{route}/{call_id}/hangup")
        assert (answer.status_code, answer.content) == (200, b"")
        voice.wait_until_ended()
        voice.wait_until_told(call_id, "client")


def test_a_call_is_ended_once_and_told_as_often_as_asked(voice: Voice) -> None:
    call_id = voice.opened(model=LIVE)

    assert voice.end(call_id).status_code == 204
    voice.wait_until_ended()
    assert at_sandbox(voice.sandbox)[-1]["ended_by"] == "sideband"
    assert voice.end(call_id).status_code == 204
    wait_until(lambda: voice.read(call_id)["state"] == "ended", seconds=2, what="the end")
    ended = voice.read(call_id)
    assert ended["ended_by"] == "client"
    assert 0 <= ended["seconds"] < 10
    assert voice.listed() == []


def test_a_list_has_pages(voice: Voice) -> None:
    first, second = voice.opened(), voice.opened(model=LIVE)

    def ids(answer: requests.Response) -> list[str]:
        return [call["id"] for call in answer.json()["calls"]]

    assert ids(voice.request("GET", "/calls?limit=1")) == [first]
    assert ids(voice.request("GET", f"/calls?limit=1&after={first}")) == [second]
    assert ids(voice.request("GET", f"/calls?after={second}")) == []
    assert ids(voice.admin("GET", f"/calls?limit=1&after={first}")) == [second]
    for limit in ("0", "1001", "-1", "all", ""):
        for answer in (
            voice.request("GET", f"/calls?limit={limit}"),
            voice.admin("GET", f"/calls?limit={limit}"),
        ):
            assert error_of(answer, 400, "invalid_value")["param"] == "limit"
    error_of(voice.request("GET", "/calls?after=call_" + "0" * 32), 404, "not_found")


def test_somebody_elses_call_is_unknown(voice: Voice) -> None:
    call_id = voice.opened()
    other = Voice(voice.service, voice.sandbox, user="somebody-else")

    for path in (f"/calls/{call_id}", "/calls/call_" + "0" * 32, "/calls/junk"):
        error_of(other.request("GET", path), 404, "not_found")
        error_of(other.request("DELETE", path), 404, "not_found")
    assert other.listed() == []
    assert [call["id"] for call in voice.listed()] == [call_id]


def test_the_first_ending_is_never_refused_for_the_limit(voice: Voice) -> None:
    call_id = voice.opened()
    while voice.request("GET", "/calls").status_code == 200:
        pass

    limited = voice.request("GET", f"/calls/{call_id}")
    error_of(limited, 429, "rate_limit_exceeded")
    assert limited.headers["x-should-retry"] == "false"
    assert voice.end(call_id).status_code == 204
    error_of(voice.end(call_id), 429, "rate_limit_exceeded")
    voice.wait_until_ended()


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "invalid_value", "sdp"),
        ({"sdp": ""}, 400, "invalid_value", "sdp"),
        ({"sdp": 7}, 400, "invalid_value", "sdp"),
        ({"sdp": "v" * 65_537}, 413, "request_too_large", "sdp"),
        ({"sdp": OFFER, "max_seconds": 29}, 400, "invalid_value", "max_seconds"),
        ({"sdp": OFFER, "expires_after": {"seconds": 60}}, 400, "unknown_parameter", "expires_after"),
        ({"sdp": OFFER, "session": {"type": "transcription"}}, 400, "invalid_value", "session.type"),
        ({"sdp": OFFER, "model": "gpt-live-9"}, 403, "model_not_allowed", "model"),
        (
            {"sdp": OFFER, "model": LIVE, "session": {"store": True}},
            403,
            "session_field_not_allowed",
            "session.store",
        ),
        ({"sdp": OFFER.strip(), "model": LIVE}, 400, "invalid_offer", "transport.sdp"),
    ],
)
def test_a_wrong_body_is_refused_by_name(
    voice: Voice, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    answer = voice.service.post("/calls", body, jwt=voice.jwt)

    assert error_of(answer, status, code)["param"] == param
    assert at_sandbox(voice.sandbox) == []


@pytest.mark.parametrize(
    ("options", "status", "code", "param"),
    [
        ({"data": OFFER, "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type", None),
        ({"data": b"v" * 70_000, "headers": SDP}, 413, "request_too_large", "sdp"),
        ({"data": b"v" * 300_000, "headers": SDP}, 413, "request_too_large", "sdp"),
        ({"data": b"", "headers": SDP}, 400, "invalid_value", "sdp"),
        (
            {"data": b"junk", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            400,
            "invalid_request",
            None,
        ),
        ({"files": {"sdp": (None, OFFER), "session": (None, "{")}}, 400, "invalid_json", "session"),
        ({"files": {"sdp": (None, OFFER), "sesion": (None, "{}")}}, 400, "unknown_parameter", "sesion"),
        (
            {"files": {"sdp": (None, OFFER), "session": (None, '{"type": "live"}')}},
            400,
            "invalid_value",
            "session.type",
        ),
        (
            {"files": {"sdp": (None, OFFER), "max_seconds": (None, "9" * 5_000)}},
            400,
            "invalid_value",
            "max_seconds",
        ),
    ],
)
def test_a_wrong_form_is_refused(
    voice: Voice, options: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    error = error_of(voice.request("POST", "/v1/realtime/calls", **options), status, code)
    assert error["param"] == param
    assert "null" not in error["message"]
    assert at_sandbox(voice.sandbox) == []


def test_a_caller_without_a_token_is_refused_on_every_route(voice: Voice) -> None:
    routes = [
        ("POST", "/calls"),
        ("GET", "/calls"),
        ("GET", "/calls/x"),
        ("DELETE", "/calls/x"),
        ("POST", "/v1/realtime/calls"),
        ("POST", "/v1/live/sessions"),
        ("POST", "/v1/live/sessions/x/hangup"),
    ]
    for method, path in routes:
        answer = requests.request(method, voice.service.url + path, timeout=10)
        error_of(answer, 401, "missing_token")


def test_what_is_open_is_in_the_headers_the_audit_log_and_the_metrics(voice: Voice) -> None:
    answer = voice.open(model=LIVE)
    call_id = answer.json()["call"]["id"]
    assert answer.headers["RateLimit-Policy"] == '"user";q=100000;w=60, "call-seconds";q=3600;w=86400'
    assert '"call-seconds";r=3000;t=' in answer.headers["RateLimit"]

    voice.end(call_id)
    voice.wait_until_ended()

    def events() -> list[dict[str, Any]]:
        lines = [line for line in voice.service.run.output.splitlines() if call_id in line]
        return [json.loads(line) for line in lines if '"event":"call"' in line]

    wait_until(lambda: len(events()) == 2, seconds=5, what="the audit event of the end")
    granted, ended = events()
    assert (granted["decision"], granted["upstream_id"]) == ("granted", ended["upstream_id"])
    assert (ended["decision"], ended["ended_by"], ended["charged_seconds"]) == ("ended", "client", 15)
    metrics = voice.service.get("/metrics", headers={"Authorization": "Bearer a-token-for-metrics"}).text
    assert 'token_service_calls_ended_total{ended_by="client",session_type="live"}' in metrics
    assert "token_service_calls_open 0.0" in metrics
    assert "token_service_call_ending_lateness_seconds_count" in metrics


def test_a_web_page_may_open_read_and_end_calls(voice: Voice) -> None:
    asked = {
        "Origin": "https://app.test",
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization, x-openai-agents-sdk",
    }
    preflight = requests.options(f"{voice.service.url}/calls/x", headers=asked, timeout=10)
    assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]
    assert "x-openai-agents-sdk" in preflight.headers["Access-Control-Allow-Headers"].lower()
    answer = voice.request("GET", "/calls", headers={"Origin": "https://app.test"})
    exposed = answer.headers["Access-Control-Expose-Headers"].lower()
    assert {"location", "x-should-retry"} <= set(exposed.split(", "))
    admin = voice.admin("GET", "/calls")
    assert "Access-Control-Allow-Origin" not in admin.headers


def test_an_admin_sees_and_ends_everybodys_calls(voice: Voice) -> None:
    first, second = voice.opened(), voice.opened(model=LIVE)

    listed = voice.admin("GET", "/calls").json()["calls"]
    assert [call["id"] for call in listed] == [first, second]
    after = voice.admin("GET", f"/calls?after={first}").json()["calls"]
    assert [call["id"] for call in after] == [second]
    assert voice.admin("DELETE", f"/calls/{first}").status_code == 204
    voice.wait_until_told(first, "admin")
    error_of(voice.admin("DELETE", "/calls/call_" + "1" * 32), 404, "not_found")
    error_of(voice.admin("GET", "/calls", token="x" * 32), 401, "invalid_token")


def test_a_revoked_user_loses_calls_and_tokens_on_every_route(voice: Voice) -> None:
    voice.opened()
    token = voice.jwt

    answer = voice.admin("POST", "/revocations", json={"sub": voice.user})
    assert answer.json()["calls"] == 1
    voice.wait_until_ended()
    for method, path in (("POST", "/token"), ("POST", "/calls"), ("GET", "/calls"), ("DELETE", "/calls/x")):
        body = {"json": {"sdp": OFFER} if path == "/calls" else {}} if method == "POST" else {}
        headers = {"Authorization": f"Bearer {token}"}
        refused = requests.request(method, voice.service.url + path, headers=headers, timeout=10, **body)
        error_of(refused, 401, "invalid_token")
    assert '"token_cause":"revoked"' in voice.service.run.output
    later = sign(sub=voice.user, iat=int(time.time()) + 9)
    assert voice.service.token(jwt=later).status_code == 401  # the leeway, since clocks differ
    assert Voice(voice.service, voice.sandbox, "another").service.token(jwt=sign(sub="another")).ok
    error_of(
        voice.admin("POST", "/revocations", json={"sub": "x", "iss": "https://other"}), 400, "invalid_value"
    )
