"""Calls on Azure: minted with the key, opened with the secret, ended with the key; and vendors that have none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from service.core.model import Grant, Offer
from service.vendors.azure import AzureCalls
from service.vendors.base import Request
from service.vendors.credentials import ApiKey
from service.vendors.outbound import Network
from service.vendors.transport import Transport
from tests.support.offers import OFFER
from tests.support.processes import wait_until
from tests.support.service import Sandbox, TokenService, running_sandbox, running_service
from tests.support.tokens import sign
from tests.support.vendor import Answer, scripted_vendor
from tests.support.webrtc import listed, webrtc_clients

MODELS = "gpt-realtime-2.1=my-voice,gpt-live-1.1=my-live,fault-503,fault-lost"
KEY = {"OPENAI_VENDOR": "azure", "OPENAI_API_KEY": "azure-key", "ALLOWED_MODELS": MODELS}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    deployments = ("--deployment=my-voice=gpt-realtime-2.1", "--deployment=my-live=gpt-live-1.1")
    with running_sandbox("--azure", *deployments) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def service(sandbox: Sandbox) -> Iterator[TokenService]:
    with running_service(sandbox.base_url, **KEY) as service:
        yield service


@pytest.fixture(autouse=True)
def _fresh(sandbox: Sandbox) -> None:
    sandbox.reset()


def upstream_calls(sandbox: Sandbox) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = requests.get(
        f"{sandbox.base_url.removesuffix('/v1')}/sandbox/calls", timeout=10
    ).json()["calls"]
    return calls


def end(service: TokenService, call_id: str, jwt: str) -> int:
    answer = requests.delete(
        f"{service.url}/calls/{call_id}", headers={"Authorization": f"Bearer {jwt}"}, timeout=10
    )
    return answer.status_code


def test_a_realtime_call_is_minted_and_opened_in_one_step_for_the_client(
    service: TokenService, sandbox: Sandbox
) -> None:
    """The secret holds the whole session, the client knows the public name alone."""
    jwt = sign(sub="ada")
    body = {"sdp": OFFER, "model": "gpt-realtime-2.1", "session": {"instructions": "Be brief."}}
    opened = service.post("/calls", body, jwt=jwt)

    assert opened.status_code == 201, opened.text
    call = opened.json()["call"]
    assert (call["type"], call["model"], call["state"]) == ("realtime", "gpt-realtime-2.1", "open")
    assert opened.json()["sdp"].startswith("v=0")
    assert "ek_" not in opened.text
    assert "my-voice" not in opened.text
    [mint] = sandbox.mints()
    assert mint["body"]["session"] == {"type": "realtime", "model": "my-voice", "instructions": "Be brief."}
    assert mint["body"]["expires_after"]["seconds"] == 30
    assert mint["key_sha256"] == hashlib.sha256(b"azure-key").hexdigest()
    [upstream] = upstream_calls(sandbox)
    assert upstream["session"]["instructions"] == "Be brief."

    assert end(service, call["id"], jwt) == 204
    wait_until(lambda: upstream_calls(sandbox)[0]["state"] == "ended", seconds=5, what="the end of the call")
    assert upstream_calls(sandbox)[0]["ended_by"] == "hangup"


def test_a_live_call_is_opened_with_the_key_and_its_deployment(
    service: TokenService, sandbox: Sandbox
) -> None:
    """An attach answers 404 until somebody is connected, so it is ended by the request that comes second."""
    jwt = sign(sub="bob")
    opened = service.post("/calls", {"sdp": OFFER, "model": "gpt-live-1.1"}, jwt=jwt)

    assert opened.status_code == 201, opened.text
    assert opened.json()["call"]["model"] == "gpt-live-1.1"
    [upstream] = upstream_calls(sandbox)
    assert (upstream["api"], upstream["session"]["store"]) == ("live", False)
    assert sandbox.mints() == []
    assert end(service, opened.json()["call"]["id"], jwt) == 204
    wait_until(lambda: upstream_calls(sandbox)[0]["state"] == "ended", seconds=10, what="the end of the call")


def test_a_client_connects_talks_and_is_ended(service: TokenService, sandbox: Sandbox) -> None:
    """By real WebRTC, through the vendor's own route for the SDKs."""
    jwt = sign(sub="cy")
    with webrtc_clients() as clients:
        opened = service.post(
            "/v1/realtime/calls",
            jwt=jwt,
            data=clients.offers[0],
            headers={"Content-Type": "application/sdp"},
        )
        assert opened.status_code == 201, opened.text
        clients.answer(opened.text)
        clients.until("session.created")
        [upstream] = upstream_calls(sandbox)
        assert listed(sandbox.base_url, upstream["id"])["connected"]
        assert end(service, opened.headers["Location"].rpartition("/")[2], jwt) == 204
        wait_until(lambda: upstream_calls(sandbox)[0]["state"] == "ended", seconds=10, what="the end")


def test_a_failed_mint_opens_nothing_and_gives_everything_back(
    service: TokenService, sandbox: Sandbox
) -> None:
    """Otherwise the user's one slot would be taken, and the next call replace it."""
    jwt = sign(sub="dora")
    refused = service.post("/calls", {"sdp": OFFER, "model": "fault-503"}, jwt=jwt)

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert refused.headers["x-should-retry"] == "false"
    assert upstream_calls(sandbox) == []
    listing = requests.get(f"{service.url}/calls", headers={"Authorization": f"Bearer {jwt}"}, timeout=10)
    assert listing.json() == {"calls": []}
    assert service.post("/calls", {"sdp": OFFER}, jwt=jwt).status_code == 201


def test_the_offer_is_relayed_with_the_secret_and_without_the_key() -> None:
    offer = Offer(OFFER.encode(), data_channel_id=3)
    grant = Grant("realtime", "gpt-realtime-2.1", {"type": "realtime", "model": "gpt-realtime-2.1"}, 60)
    request = AzureCalls({}).open_call(grant, offer, "user", "ek_1")

    assert (request.method, request.path) == ("POST", "/realtime/calls?webrtcfilter=on&dcid=3")
    assert (request.body, request.secret, request.retryable) == (OFFER.encode(), "ek_1", False)
    assert request.headers == {"Content-Type": "application/sdp", "Accept": "application/sdp"}
    assert "ek_1" not in repr(request)


def test_a_request_with_a_secret_carries_no_key_and_no_words_repeat_the_secret() -> None:
    refusal = Answer(401, b'{"error": {"code": "Unauthorized", "message": "not ek_1, nor azure-key"}}')
    with scripted_vendor() as vendor:
        vendor.will(refusal)
        key = ApiKey("azure-key", header="api-key")
        transport = Transport(vendor.base_url, credential=key, network=Network(), timeout=5)
        answer = transport.send(Request("POST", "/realtime/calls", body=b"{}", secret="ek_1"))
        transport.close()
        [(_, headers, _)] = vendor.requests

    assert headers["authorization"] == "Bearer ek_1"
    assert "api-key" not in headers
    assert b"not ***, nor ***" in answer.body


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OPENAI_VENDOR": "xai", "DEFAULT_MODEL": "grok-voice-latest"}, "OPENAI_VENDOR=xai has no calls."),
        ({"REALTIME_API": "beta"}, "REALTIME_API=beta has no calls."),
    ],
)
def test_a_vendor_without_calls_says_so_at_every_route(variables: dict[str, str], words: str) -> None:
    with scripted_vendor() as vendor, running_service(vendor.base_url, **variables) as service:
        vendor.will(Answer())
        for path in ("/calls", "/v1/realtime/calls", "/v1/live/sessions"):
            refused = service.post(path, {"sdp": OFFER})
            assert refused.status_code == 400, refused.text
            assert refused.json()["error"]["code"] == "invalid_request"
            assert refused.json()["error"]["message"] == words
        assert vendor.requests == []
