"""Section 6 of the contract in every dialect: calls are opened, reported, ended and settled, or refused by a 400."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from tests.support.dialects import BROKEN, ENDINGS, GROK, LIVE, LOST, MODEL, REFUSED, Dialect
from tests.support.offers import CANDIDATE, OFFER
from tests.support.processes import wait_until
from tests.support.service import app_in_process
from tests.support.tokens import sign
from tests.support.voice import at_sandbox

SDP = {"Content-Type": "application/sdp"}
MODELS = {"realtime": MODEL, "live": LIVE}
GRANTED, MINUTES, CHARGED = 600, 3600, 15


@contextmanager
def fresh(dialect: Dialect) -> Iterator[Dialect]:
    """Begin with nothing open at the vendor, and leave nothing open at the service."""
    dialect.reset()
    yield dialect
    admin = dialect.user("admin").admin

    def known() -> list[str]:
        return [call["id"] for call in admin("GET", "/calls").json()["calls"] if call["upstream_id"]]

    for call_id in known():
        admin("DELETE", f"/calls/{call_id}")
    wait_until(lambda: not known(), seconds=5, what="the end of all calls")
    assert CANDIDATE not in dialect.service.run.output  # an offer holds addresses


@pytest.fixture(params=["ga", "azure"])
def opening(request: pytest.FixtureRequest) -> Iterator[Dialect]:
    """Each dialect that has calls."""
    with fresh(request.getfixturevalue(request.param)) as dialect:
        yield dialect


@pytest.fixture
def both(ga: Dialect, azure: Dialect) -> Iterator[tuple[Dialect, Dialect]]:
    """Both of them, for what takes its time."""
    with fresh(ga), fresh(azure):
        yield ga, azure


@pytest.mark.parametrize("name", ["beta", "xai"])
@pytest.mark.parametrize("path", ["/calls", "/v1/realtime/calls", "/v1/live/sessions"])
def test_a_vendor_without_calls_says_so_at_every_route(
    name: str, path: str, request: pytest.FixtureRequest
) -> None:
    dialect: Dialect = request.getfixturevalue(name)
    dialect.reset()
    refused = dialect.service.post(path, {"sdp": OFFER})

    assert dialect.service.post(path, {"sdp": OFFER}, jwt="").status_code == 401  # strangers learn nothing
    assert refused.status_code == 400, refused.text
    error = refused.json()["error"]
    assert (error["code"], error["message"]) == ("invalid_request", f"{dialect.name} has no calls.")
    assert dialect.mints() == []


def test_asking_a_vendor_without_calls_is_limited_and_never_retried() -> None:
    """As asking another is."""
    service = app_in_process(
        "https://vendor.example/v1",
        OPENAI_VENDOR="xai",
        OPENAI_API_KEY="xai-key",
        DEFAULT_MODEL=GROK,
        RATE_LIMIT_CALL_CONTROL_PER_USER="2/minute",
    )
    answers = [service.post("/calls", {"sdp": OFFER}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 429]
    assert answers[-1].headers["x-should-retry"] == "false"


@pytest.mark.parametrize("kind", MODELS)
def test_a_call_is_opened_read_and_ended(opening: Dialect, kind: str) -> None:
    """The client knows public names and our ids alone; the vendor's session holds what was asked for."""
    voice = opening.user(f"opens {kind}")
    answer = voice.open(model=MODELS[kind], session={"instructions": "Be brief."}, max_seconds=90)

    assert answer.status_code == 201, answer.text
    call = answer.json()["call"]
    assert (call["type"], call["model"], call["state"]) == (kind, MODELS[kind], "open")
    assert call["expires_at"] - call["opened_at"] == call["max_seconds"] == 90
    assert answer.json()["sdp"].startswith("v=0\r\n")
    [there] = at_sandbox(opening.sandbox)
    assert (there["api"], there["model"]) == (kind, MODELS[kind])
    assert there["session"]["instructions"] == "Be brief."
    asked = [*(mint.session for mint in opening.mints()), there["session"]][0]
    assert asked["model"] == opening.at_vendor(MODELS[kind])
    for hidden in (there["id"], "ek_", opening.sent.get(MODELS[kind], "rtc_")):
        assert hidden not in answer.text
    [listed] = voice.admin("GET", f"/calls?sub={voice.user}").json()["calls"]
    assert listed["upstream_id"] == there["id"]
    assert users_at(opening, there) == {listed["user"]}
    assert voice.end(call["id"]).status_code == 204
    voice.wait_until_ended(seconds=5)
    voice.wait_until_told(call["id"], "client")
    assert at_sandbox(opening.sandbox)[0]["ended_by"] in {"hangup", "sideband"}


def users_at(dialect: Dialect, call: dict[str, Any]) -> set[str | None]:
    """Collect where the vendor was told who the end user is: in the body, at the opening, or at its mint."""
    body, header = call["session"].get("safety_identifier"), call["headers"].get("OpenAI-Safety-Identifier")
    return {user for user in (body, header, *(mint.user for mint in dialect.mints())) if user}


@pytest.mark.parametrize("kind", MODELS)
def test_an_admin_ends_a_call_and_a_revocation_all_of_a_users(opening: Dialect, kind: str) -> None:
    """Nobody has connected, so that no control socket is there to end them over, but for OpenAI's Live sessions."""
    voice, model = opening.user(f"revoked {kind}"), MODELS[kind]
    first = voice.opened(model=model)
    assert voice.admin("DELETE", f"/calls/{first}").status_code == 204
    voice.wait_until_told(first, "admin")
    token, second = voice.jwt, voice.opened(model=model)
    minted = len(opening.mints())

    assert voice.admin("POST", "/revocations", json={"sub": voice.user}).json()["calls"] == 1
    voice.wait_until_ended(seconds=5)
    by = "sideband" if kind == "live" and not opening.sent else "hangup"
    assert [call["ended_by"] for call in at_sandbox(opening.sandbox)] == [by, by]
    for path, body in (("/token", {}), ("/calls", {"sdp": OFFER, "model": model})):
        refused = opening.service.post(path, body, jwt=token)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_token")
    assert len(opening.mints()) == minted

    def is_told() -> bool:
        lines = (line for line in opening.service.run.output.splitlines() if second in line)
        return any('"ended_by":"revoked"' in line for line in lines)

    wait_until(is_told, seconds=2, what="the audit event of the end")


@pytest.mark.parametrize("kind", MODELS)
def test_minutes_are_reserved_used_up_and_given_back(opening: Dialect, kind: str) -> None:
    """One minute a day: all of it is the first call's, which uses 15 s of it."""
    voice = opening.user(f"short of minutes {kind}")
    token = sign(sub=voice.user, tier="short")

    def ask() -> requests.Response:
        return opening.service.post("/calls", {"sdp": OFFER, "model": MODELS[kind]}, jwt=token)

    first = ask().json()["call"]
    assert first["max_seconds"] == 60
    minted = len(opening.mints())
    refused = ask()
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "call_minutes_exhausted")
    assert (len(opening.mints()), len(at_sandbox(opening.sandbox))) == (minted, 1)
    assert [call["id"] for call in voice.listed()] == [first["id"]]
    voice.end(first["id"])
    voice.wait_until_told(first["id"], "client")
    second = ask().json()["call"]
    assert second["max_seconds"] == 60 - CHARGED


def test_a_live_session_is_sent_locked_and_with_the_users_pseudonym(opening: Dialect) -> None:
    """Nothing else is added, and ``session.type`` is not sent."""
    voice = opening.user("locked")
    voice.opened(model=LIVE)

    [there] = at_sandbox(opening.sandbox)
    [listed] = voice.admin("GET", f"/calls?sub={voice.user}").json()["calls"]
    allowed = ["session.input_audio.mute", "session.input_audio.unmute", "session.close"]
    assert there["session"] == {
        "model": opening.at_vendor(LIVE),
        "store": False,
        "client": {"data_channel": {"allowed_client_events": allowed}},
        "safety_identifier": listed["user"],
    }


def test_a_second_call_replaces_the_first(opening: Dialect) -> None:
    voice = opening.user("replaces")
    first, second = voice.opened(), voice.opened(model=LIVE)

    voice.wait_until_told(first, "replaced")
    assert [call["id"] for call in voice.listed()] == [second]
    assert [call["state"] for call in at_sandbox(opening.sandbox)] == ["ended", "open"]
    voice.end(second)
    voice.wait_until_ended(seconds=5)


def test_the_vendors_own_routes_open_and_end_calls(opening: Dialect) -> None:
    """Raw, as a form, and Live in both of its shapes; each is ended the vendor's way."""
    voice = opening.user("drop-in")
    form = {
        "sdp": (None, OFFER, "application/sdp"),
        "session": (None, json.dumps({"type": "realtime", "instructions": "Hm."}), "application/json"),
    }
    realtime, live = "/v1/realtime/calls", "/v1/live/sessions"
    transport = {"session": {"model": LIVE}, "transport": {"type": "webrtc", "sdp": OFFER}}
    opened: list[tuple[str, requests.Response]] = [
        (realtime, voice.request("POST", f"{realtime}?model={MODEL}&dcid=7", data=OFFER, headers=SDP)),
        (realtime, voice.request("POST", realtime, files=form)),
        (live, voice.request("POST", live, json=transport)),
        (live, voice.request("POST", live, json={"sdp": OFFER})),
    ]

    for path, answer in opened:
        assert answer.status_code == 201, answer.text
        if path == realtime:
            assert answer.headers["Content-Type"] == "application/sdp"
            assert answer.text.startswith("v=0\r\n")
            call_id = answer.headers["Location"].removeprefix(f"{path}/")
        else:
            assert answer.json()["transport"]["sdp"].startswith("v=0\r\n")
            call_id = answer.json()["session"]["id"]
        ended = voice.request("POST", f"{path}/{call_id}/hangup")
        assert (ended.status_code, ended.content) == (200, b"")
    assert at_sandbox(opening.sandbox)[1]["session"]["instructions"] == "Hm."
    voice.wait_until_ended(seconds=5)


def is_unknown(dialect: Dialect, kind: str, fault: str) -> bool:
    """Return whether a fault leaves open if there is a session.

    On Azure a Realtime call is minted first: where that fails, surely nothing was opened.
    """
    is_minted = bool(dialect.sent) and kind == "realtime"
    return fault in LOST or (fault in BROKEN and not is_minted)


def test_a_failed_opening_is_told_and_settled(both: tuple[Dialect, Dialect]) -> None:
    """Every fault at once, each of a user of its own: some take as long as an opening may.

    What may have opened a session counts against ``CALLS_GLOBAL``, and nothing against the user but its charge.
    """
    told = REFUSED | BROKEN | LOST
    cases = [(dialect, kind, fault) for dialect in both for kind in MODELS for fault in told]
    unknown = {dialect.name: dialect.metric("token_service_calls_unknown_total") for dialect in both}

    def fail(dialect: Dialect, kind: str, fault: str) -> requests.Response:
        return dialect.user(f"{kind} {fault}").open(session={"type": kind, "model": fault})

    with ThreadPoolExecutor(len(cases)) as pool:
        answers = list(pool.map(lambda case: fail(*case), cases))

    events = {dialect.name: audit_events(dialect) for dialect in both}
    for (dialect, kind, fault), answer in zip(cases, answers, strict=True):
        assert (answer.status_code, answer.json()["error"]["code"]) == told[fault], (kind, fault)
        assert answer.headers["x-should-retry"] == "false"
        event = events[dialect.name][answer.headers["X-Request-Id"]]
        outcome = "unknown" if is_unknown(dialect, kind, fault) else "refused"
        assert (event["decision"], event["outcome"]) == ("refused", outcome), (kind, fault)
        assert dialect.user(f"{kind} {fault}").listed() == []
        unknown[dialect.name] += outcome == "unknown"
    assert unknown == {dialect.name: dialect.metric("token_service_calls_unknown_total") for dialect in both}
    # The slot is free again, and the minutes are there but for the charge: some of the cases, and all that are unknown.
    for dialect, kind, fault in (
        case for number, case in enumerate(cases) if number % 5 == 0 or case[2] in LOST
    ):
        voice = dialect.user(f"{kind} {fault}")
        good = voice.open()
        left = re.search(r'"call-seconds";r=(\d+)', good.headers["RateLimit"])
        assert left
        charged = CHARGED if is_unknown(dialect, kind, fault) else 0
        assert int(left[1]) == MINUTES - GRANTED - charged, (kind, fault)
        voice.end(good.json()["call"]["id"])
    for dialect in both:
        dialect.user("anybody").wait_until_ended(len(MODELS) * len(LOST), seconds=5)


def audit_events(dialect: Dialect) -> dict[str, dict[str, Any]]:
    """Read the audit events of calls from the log, by request."""
    lines = dialect.service.run.output.splitlines()
    events = [json.loads(line) for line in lines if '"event":"call"' in line]
    return {event["request_id"]: event for event in events if "request_id" in event}


def test_an_ending_that_fails_is_tried_until_it_succeeds(both: tuple[Dialect, Dialect]) -> None:
    """At once, after 1 s, 2 s and 4 s."""
    called = []
    for dialect in both:
        for kind in MODELS:
            for model in ENDINGS:
                voice = dialect.user(f"{kind} {model}")
                called.append((voice, voice.opened(session={"type": kind, "model": model})))
    for voice, call_id in called:
        assert voice.end(call_id).status_code == 204

    for dialect in both:
        dialect.user("anybody").wait_until_ended(seconds=12)
        assert dialect.metric("token_service_call_endings_failed_total") > 0
    for voice, call_id in called:
        voice.wait_until_told(call_id, "client")
