"""Opening calls: offers that are answered and offers that are not, credentials, forms, and what fails on demand."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ifaddr
import pytest
import requests

from service.sandbox.webrtc.network import address_source, has_interface
from service.sandbox.webrtc.offers import InvalidOfferError, answerable
from tests.support.offers import CANDIDATE, OFFER, offer_without
from tests.support.realtime import bearing, line, mint
from tests.support.service import Sandbox
from tests.support.webrtc import listed, open_call

_SDP = {"Content-Type": "application/sdp"}


def _call(
    sandbox: Sandbox, credential: str, path: str = "/realtime/calls", **options: Any
) -> requests.Response:
    headers = {"Authorization": f"Bearer {credential}", **options.pop("headers", {})}
    return requests.post(sandbox.base_url + path, headers=headers, timeout=20, **options)


def _code(answer: requests.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_a_browser_calls_with_its_secret_once(sandbox: Sandbox) -> None:
    """The answer and its location are readable from any origin; the secret then opens nothing else."""
    secret = mint(sandbox.base_url)
    answer = _call(sandbox, secret, data=OFFER, headers=_SDP)
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Location"].startswith("/v1/realtime/calls/rtc_")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.text.startswith("v=0\r\n")
    assert "a=candidate:" in answer.text
    again = _call(sandbox, secret, data=OFFER, headers=_SDP)
    assert _code(again)[:2] == (401, "ephemeral_token_already_used")
    with line(sandbox.base_url, **bearing(secret)) as client:
        client.listen()
        assert client.closed == (3000, "invalid_request_error.ephemeral_token_already_used")


def test_of_many_calls_at_once_a_secret_opens_one(sandbox: Sandbox) -> None:
    """The answer to an offer takes long, and others must not be let in meanwhile."""
    secret = mint(sandbox.base_url)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _call(sandbox, secret, data=OFFER, headers=_SDP), range(8)))
    refused = [answer for answer in answers if answer.status_code != 201]
    assert [_code(answer)[:2] for answer in refused] == [(401, "ephemeral_token_already_used")] * 7


def test_the_suffix_of_a_call_is_that_of_its_session(sandbox: Sandbox) -> None:
    """As two recordings of the vendor show; the configuration is the secret's."""
    secret = requests.post(
        f"{sandbox.base_url}/realtime/client_secrets",
        json={"session": {"type": "realtime", "instructions": "Be brief."}},
        headers={"Authorization": "Bearer sk-test"},
        timeout=20,
    ).json()
    location = _call(sandbox, secret["value"], data=OFFER, headers=_SDP).headers["Location"]
    call_id = location.rpartition("/")[2]
    assert call_id.removeprefix("rtc_") == secret["session"]["id"].removeprefix("sess_")
    assert listed(sandbox.base_url, call_id)["session"]["instructions"] == "Be brief."


def test_an_offer_that_cannot_be_answered_uses_up_no_secret(sandbox: Sandbox) -> None:
    """The client can try again with a better one."""
    secret = mint(sandbox.base_url)
    refused = _call(sandbox, secret, data=offer_without("a=candidate:"), headers=_SDP)
    assert _code(refused) == (400, "invalid_offer", "sdp")
    assert "network interface that is up" in refused.json()["error"]["message"]
    assert _call(sandbox, secret, data=OFFER, headers=_SDP).status_code == 201


@pytest.mark.parametrize(
    ("offer", "words"),
    [
        ("", "does not begin with v=0"),
        ("hello", "does not begin with v=0"),
        (offer_without("m=", "a=", "c="), "no media section"),
        (offer_without("m=audio"), "exactly one audio section"),
        (offer_without("a=rtpmap:111"), "does not offer Opus"),
        (offer_without("a=fingerprint:"), "no a=fingerprint line"),
        (offer_without("a=ice-pwd:"), "no a=ice-pwd line"),
        (offer_without("a=candidate:"), "no ICE candidate that can be reached"),
        (
            offer_without("a=candidate:", add=("a=ice-options:trickle", "a=end-of-candidates")),
            "no ICE candidate that can be reached",
        ),
        (
            offer_without("a=candidate:", add=("a=candidate:1 1 tcp 1518280447 127.0.0.1 9 typ host",)),
            "no ICE candidate that can be reached",
        ),
        (OFFER + "a=x:" + 70_000 * "x" + "\r\n", "larger than 65536 bytes"),
        (OFFER + 9 * "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "more than 8 media sections"),
    ],
)
def test_an_offer_that_cannot_be_answered_is_told_why(offer: str, words: str) -> None:
    """Each in words, rather than by a hang."""
    with pytest.raises(InvalidOfferError, match=words):
        answerable(offer)


def test_hidden_candidates_are_dropped_and_trickled_ones_are_waited_for() -> None:
    """Nothing asks the network for ``.local`` names; the client's first check tells where it is."""
    hidden = CANDIDATE.replace("127.0.0.1", "2b5fd469-f405-478f-bfb3-c1e4a756e003.local")
    kept = answerable(offer_without("a=candidate:", add=(hidden, "a=end-of-candidates")))
    assert ".local" not in kept
    assert "end-of-candidates" not in kept
    assert answerable(offer_without("a=candidate:", add=("a=ice-options:trickle",)))


@pytest.mark.parametrize(
    ("host", "first", "others"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("localhost", "127.0.0.1", False),
        ("::1", "127.0.0.1", False),
        ("0.0.0.0", "127.0.0.1", True),  # noqa: S104 - nothing listens here
    ],
)
def test_candidates_are_on_loopback_and_elsewhere_only_where_asked_for(
    host: str, first: str, others: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replaced function of aioice, which would leave loopback out."""
    wired = ifaddr.Adapter("eth0", "eth0", [ifaddr.IP("192.0.2.2", 24, "eth0")])
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [wired])
    found = address_source(host)(use_ipv4=True, use_ipv6=False)
    assert found[0] == first
    assert ("192.0.2.2" in found) == others
    assert ("::1" in address_source(host)(use_ipv4=True, use_ipv6=True)) == (host == "::1")


def test_a_machine_without_an_interface_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log then says what a browser needs; link-local addresses alone do not count."""
    lone = ifaddr.Adapter(
        "lo", "lo", [ifaddr.IP("127.0.0.1", 8, "lo"), ifaddr.IP(("fe80::1", 0, 2), 64, "lo")]
    )
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [lone])
    assert not has_interface()
    wired = ifaddr.Adapter("eth0", "eth0", [ifaddr.IP("192.0.2.2", 24, "eth0")])
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [lone, wired])
    assert has_interface()


def test_a_sandbox_on_loopback_offers_nothing_else(sandbox: Sandbox) -> None:
    """Every candidate of its answers is 127.0.0.1."""
    answer = _call(
        sandbox, "sk-test", "/realtime/calls?model=gpt-realtime-2.1", data=OFFER, headers=_SDP
    ).text
    candidates = [line.split() for line in answer.splitlines() if line.startswith("a=candidate:")]
    assert {candidate[4] for candidate in candidates} == {"127.0.0.1"}


def test_a_server_calls_with_a_form(sandbox: Sandbox) -> None:
    """The offer beside the session, as the vendor's SDKs send them."""
    form = {
        "sdp": (None, OFFER, "application/sdp"),
        "session": (None, json.dumps({"type": "realtime", "model": "gpt-realtime-2.1"}), "application/json"),
    }
    answer = _call(sandbox, "sk-test", files=form, headers={"OpenAI-Safety-Identifier": "user-1"})
    assert answer.status_code == 201
    call = listed(sandbox.base_url, answer.headers["Location"].rpartition("/")[2])
    assert (call["api"], call["model"], call["state"]) == ("realtime", "gpt-realtime-2.1", "open")
    assert (call["connected"], call["ended_by"], call["ended_at"]) == (False, None, None)
    assert call["headers"]["OpenAI-Safety-Identifier"] == "user-1"
    bad = form | {"session": (None, json.dumps({"type": "realtime", "voice": "ash"}), "application/json")}
    assert _code(_call(sandbox, "sk-test", files=bad))[2] == "session.voice"
    assert _code(_call(sandbox, "sk-test", files=form | {"session": (None, "{")}))[2] == "session"
    assert _code(_call(sandbox, "sk-test", files={"session": form["session"]}))[2] == "sdp"


def test_a_raw_offer_with_a_key_names_its_model(sandbox: Sandbox) -> None:
    """With neither session nor model there is nothing to open; a Live model is none of these."""
    assert _code(_call(sandbox, "sk-test", data=OFFER, headers=_SDP))[1] == "missing_model"
    path = "/realtime/calls?model="
    assert _code(_call(sandbox, "sk-test", path + "gpt-live-1.1", data=OFFER, headers=_SDP))[1] == (
        "invalid_model"
    )
    assert _call(sandbox, "sk-test", path + "gpt-realtime-2.1", data=OFFER, headers=_SDP).status_code == 201
    wrong = _call(sandbox, "sk-test", path + "gpt-realtime-2.1&dcid=seven", data=OFFER, headers=_SDP)
    assert _code(wrong) == (400, "invalid_value", "dcid")


def test_a_translation_has_its_own_calls(sandbox: Sandbox) -> None:
    """Its secrets call there and nowhere else."""
    secret = mint(
        sandbox.base_url, "/realtime/translations/client_secrets", session={"model": "gpt-realtime-translate"}
    )
    refused = _call(sandbox, secret, data=OFFER, headers=_SDP)
    assert _code(refused)[2] == "session.type"
    answer = _call(sandbox, secret, "/realtime/translations/calls", data=OFFER, headers=_SDP)
    assert answer.headers["Location"].startswith("/v1/realtime/translations/calls/rtc_")


def test_a_call_needs_a_credential(sandbox: Sandbox) -> None:
    """An unknown secret is refused by HTTP, where there is no socket to refuse it in."""
    assert _code(_call(sandbox, "ek_unknown", data=OFFER, headers=_SDP))[:2] == (401, "invalid_api_key")
    assert _call(sandbox, "", data=OFFER, headers=_SDP).status_code == 401
    assert _call(sandbox, "sk-invalid", "/realtime/calls/rtc_x/hangup").status_code == 401
    assert _call(sandbox, "", "/live/sessions/live_x/hangup").status_code == 401


def test_a_call_that_is_lost_is_open_all_the_same(sandbox: Sandbox) -> None:
    """``fault-lost`` is what a relay cannot see: the session runs, and nobody has its id."""
    before = len(_calls(sandbox))
    with pytest.raises(requests.ConnectionError):
        open_call(sandbox.base_url, OFFER, "fault-lost")
    (lost,) = _calls(sandbox)[before:]
    assert (lost["model"], lost["state"]) == ("fault-lost", "open")


def test_a_call_without_a_location_is_open_all_the_same(sandbox: Sandbox) -> None:
    """``fault-no-location`` answers well, but for the header."""
    answer = open_call(sandbox.base_url, OFFER, "fault-no-location")
    assert (answer.status_code, "Location" in answer.headers) == (201, False)
    assert _calls(sandbox)[-1]["model"] == "fault-no-location"


@pytest.mark.parametrize(
    ("model", "refused"),
    [("fault-hangup-500", (500, None)), ("fault-hangup-404", (404, "call_id_not_found"))],
)
def test_three_endings_fail_and_the_fourth_works(
    sandbox: Sandbox, model: str, refused: tuple[int, str | None]
) -> None:
    """As a vendor in trouble; the call runs meanwhile."""
    location = open_call(sandbox.base_url, OFFER, model).headers["Location"]
    path, call_id = f"{location.removeprefix('/v1')}/hangup", location.rpartition("/")[2]
    for _ in range(3):
        answer = _call(sandbox, "sk-test", path)
        assert (answer.status_code, answer.json()["error"]["code"]) == refused
        assert listed(sandbox.base_url, call_id)["state"] == "open"
    answer = _call(sandbox, "sk-test", path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert listed(sandbox.base_url, call_id)["ended_by"] == "hangup"


@pytest.mark.parametrize("model", ["fault-401", "fault-429", "fault-503", "fault-html"])
def test_openings_fail_as_mints_do(sandbox: Sandbox, model: str) -> None:
    """Every failure of the minting routes is one of these, too."""
    expected = {"fault-401": 401, "fault-429": 429, "fault-503": 503, "fault-html": 200}[model]
    assert open_call(sandbox.base_url, OFFER, model).status_code == expected
    assert all(call["model"] != model for call in _calls(sandbox))


def _calls(sandbox: Sandbox) -> list[dict[str, Any]]:
    answer = requests.get(sandbox.base_url.replace("/v1", "/sandbox/calls"), timeout=20)
    calls: list[dict[str, Any]] = answer.json()["calls"]
    return calls
