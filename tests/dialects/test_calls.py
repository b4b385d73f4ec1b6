"""Section 6 of the contract in every dialect: calls are opened, reported, ended and settled, or refused by a 400."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.support.dialects import BROKEN, ENDINGS, LIVE, LOST, MODEL, REFUSED, Dialect
from tests.support.offers import CANDIDATE, OFFER
from tests.support.processes import wait_until
from tests.support.voice import at_sandbox

SDP = {"Content-Type": "application/sdp"}
MODELS = {"realtime": MODEL, "live": LIVE}
GRANTED, MINUTES, CHARGED = 600, 3600, 15


@pytest.fixture(params=["ga", "azure"])
def opening(request: pytest.FixtureRequest) -> Iterator[Dialect]:
    """Each dialect that has calls, with nothing open at the vendor."""
    dialect: Dialect = request.getfixturevalue(request.param)
    dialect.reset()
    yield dialect
    admin = dialect.user("admin").admin

    def known() -> list[str]:
        return [call["id"] for call in admin("GET", "/calls").json()["calls"] if call["upstream_id"]]

    for call_id in known():
        admin("DELETE", f"/calls/{call_id}")
    wait_until(lambda: not known(), seconds=5, what="the end of all calls")
    assert CANDIDATE not in dialect.service.run.output  # an offer holds addresses


@pytest.mark.parametrize("name", ["beta", "xai"])
@pytest.mark.parametrize("path", ["/calls", "/v1/realtime/calls", "/v1/live/sessions"])
def test_a_vendor_without_calls_says_so_at_every_route(
    name: str, path: str, request: pytest.FixtureRequest
) -> None:
    dialect: Dialect = request.getfixturevalue(name)
    dialect.reset()
    refused = dialect.service.post(path, {"sdp": OFFER})

    assert refused.status_code == 400, refused.text
    error = refused.json()["error"]
    assert (error["code"], error["message"]) == ("invalid_request", f"{dialect.name} has no calls.")
    assert dialect.mints() == []


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


def test_a_failed_opening_is_told_and_settled(opening: Dialect) -> None:
    """Every fault at once, each of a user of its own: some take as long as an opening may.

    What may have opened a session counts against ``CALLS_GLOBAL``, and nothing against the user. On Azure a Realtime
    call is minted first: where that fails, surely nothing was opened.
    """
    told = REFUSED | BROKEN | LOST
    minted_first = {kind: bool(opening.sent) and kind == "realtime" for kind in MODELS}
    cases = [(kind, fault) for kind in MODELS for fault in told]
    unknown = [
        (kind, fault)
        for kind, fault in cases
        if fault in LOST or (fault in BROKEN and not minted_first[kind])
    ]
    before = opening.metric("token_service_calls_unknown_total")

    def fail(case: tuple[str, str]) -> requests.Response:
        kind, fault = case
        return opening.user(f"{kind} {fault}").open(session={"type": kind, "model": fault})

    with ThreadPoolExecutor(len(cases)) as pool:
        answers = dict(zip(cases, pool.map(fail, cases), strict=True))

    log = [json.loads(line) for line in opening.service.run.output.splitlines() if '"event":"call"' in line]
    for (kind, fault), answer in answers.items():
        assert (answer.status_code, answer.json()["error"]["code"]) == told[fault], (kind, fault)
        assert answer.headers["x-should-retry"] == "false"
        [event] = [line for line in log if line.get("request_id") == answer.headers["X-Request-Id"]]
        outcome = "unknown" if (kind, fault) in unknown else "refused"
        assert (event["decision"], event["outcome"]) == ("refused", outcome), (kind, fault)
        assert opening.user(f"{kind} {fault}").listed() == []
    assert opening.metric("token_service_calls_unknown_total") - before == len(unknown)
    for case in cases[::5]:  # the slot is free again, and the minutes are there but for the charge
        voice = opening.user(" ".join(case))
        good = voice.open()
        left = re.search(r'"call-seconds";r=(\d+)', good.headers["RateLimit"])
        assert left
        assert int(left[1]) == MINUTES - GRANTED - (CHARGED if case in unknown else 0), case
        voice.end(good.json()["call"]["id"])
    never_told = len(MODELS) * len(LOST)
    opening.user("anybody").wait_until_ended(never_told, seconds=5)


def test_an_ending_that_fails_is_tried_until_it_succeeds(ga: Dialect, azure: Dialect) -> None:
    """In both dialects at once: at once, after 1 s, 2 s and 4 s."""
    called = []
    for dialect in (ga, azure):
        dialect.reset()
        for kind in MODELS:
            for model in ENDINGS:
                voice = dialect.user(f"{kind} {model}")
                called.append((voice, voice.opened(session={"type": kind, "model": model})))
    for voice, call_id in called:
        assert voice.end(call_id).status_code == 204

    for dialect in (ga, azure):
        dialect.user("anybody").wait_until_ended(seconds=12)
        assert dialect.metric("token_service_call_endings_failed_total") > 0
    for voice, call_id in called:
        voice.wait_until_told(call_id, "client")
