"""What only Azure has: its refusals in the sandbox, the filter of events, offers that a secret opens, and ``check``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
import websocket
from click.testing import CliRunner
from openai import AuthenticationError, OpenAI

from service.check.command import checks
from service.check.finding import Report
from service.core.model import Grant, Offer
from service.sandbox.azure import FILTERED_EVENTS
from service.sandbox.command import sandbox as sandbox_command
from service.vendors.azure import AzureCalls
from service.vendors.base import Request
from service.vendors.credentials import ApiKey
from service.vendors.network import Network
from service.vendors.transport import Transport
from tests.support.dialects import EARS, LIVE, MODEL, Dialect
from tests.support.offers import OFFER
from tests.support.realtime import Line, bearing, line, offering
from tests.support.service import Sandbox, service_environ
from tests.support.vendor import Answer, scripted_vendor
from tests.support.voice import at_sandbox
from tests.support.webrtc import listed, webrtc_clients

KEY = {"api-key": "azure-key"}


def post_offer(url: str, offer: str = OFFER, **headers: str) -> requests.Response:
    """Post an offer as a WebRTC client does."""
    headers = {"Content-Type": "application/sdp", **headers}
    return requests.post(url, data=offer, headers=headers, timeout=20)


def test_a_webrtc_client_posts_its_offer_to_the_recipes_address(azure: Dialect) -> None:
    """With the secret alone: a key is refused there. The key finds the call afterwards."""
    answer = azure.service.token({"session": {"instructions": "Be brief."}}).json()
    calls_url = answer["connection"]["calls_url"]
    assert calls_url.endswith("/openai/v1/realtime/calls?webrtcfilter=on")

    assert "requires ephemeral tokens" in post_offer(calls_url, **KEY).text
    opened = post_offer(calls_url, Authorization=f"Bearer {answer['value']}")
    assert opened.status_code == 201, opened.text
    location = opened.headers["Location"]
    call = listed(azure.sandbox.base_url, location.rpartition("/")[2])
    assert call["session"]["instructions"] == "Be brief."
    hangup = f"{azure.sandbox.base_url}{location.removeprefix('/v1')}/hangup"
    assert requests.post(hangup, headers=KEY, timeout=20).status_code == 200


@contextmanager
def sideband(sandbox: Sandbox, call_id: str) -> Iterator[Line]:
    """Watch a call with the resource's key."""
    with line(sandbox.base_url, f"?call_id={call_id}", header=["api-key: azure-key"]) as watching:
        yield watching


TEXT = {"type": "response.create", "response": {"output_modalities": ["text"]}}


def test_the_filter_lets_few_events_reach_a_client_and_its_sideband_sees_all(azure: Dialect) -> None:
    """None of the few repeats the session, and errors do not pass. A client that leaves the filter out gets all."""
    with webrtc_clients(2) as clients:
        call_ids = []
        for number, query in enumerate(("?webrtcfilter=on", "")):
            minted = azure.service.token().json()
            url = minted["connection"]["calls_url"].partition("?")[0] + query
            opened = post_offer(url, clients.offers[number], Authorization=f"Bearer {minted['value']}")
            assert opened.status_code == 201, opened.text
            call_ids.append(opened.headers["Location"].rpartition("/")[2])
            clients.answer(opened.text, call=number)
            clients.until_open(call=number)
        with sideband(azure.sandbox, call_ids[0]) as watching:
            watching.send(TEXT)
            watching.until("response.done")
            clients.send({"type": "nonsense"})
            clients.send(TEXT)
            watching.until("response.done")
            clients.until("response.output_text.done")
        clients.until("session.created", call=1)
        clients.send({"type": "nonsense"}, call=1)
        clients.until("error", call=1)
        kinds = {event["type"] for event in clients.events()}

    assert {"conversation.item.added", "response.output_text.delta"} <= kinds <= FILTERED_EVENTS
    watched = {event["type"] for event in watching.events}
    assert {"response.created", "response.output_item.added", "response.done"} <= watched


def test_a_client_whose_call_the_service_opened_talks_through_the_filter_and_is_ended(azure: Dialect) -> None:
    """By real WebRTC and the vendor's own route."""
    azure.reset()
    voice = azure.user("connected")
    with webrtc_clients() as clients:
        offer, headers = clients.offers[0], {"Content-Type": "application/sdp"}
        opened = voice.request("POST", "/v1/realtime/calls", data=offer, headers=headers)
        assert opened.status_code == 201, opened.text
        clients.answer(opened.text)
        clients.until_open()
        clients.send(TEXT)
        clients.until("response.output_text.done")
        [there] = at_sandbox(azure.sandbox)
        assert there["connected"]
        assert voice.end(opened.headers["Location"].rpartition("/")[2]).status_code == 204
        voice.wait_until_ended(seconds=5)
        clients.wait("channel", state="closed")
        assert {event["type"] for event in clients.events()} <= FILTERED_EVENTS


def test_the_sandbox_refuses_what_azure_refuses(azure: Dialect) -> None:
    """A version, a wrong key, an unknown deployment; and a secret in a subprotocol, to be on the safe side."""
    base_url = azure.sandbox.base_url
    url, body = f"{base_url}/realtime/client_secrets", {"session": {"type": "realtime", "model": "nobody"}}

    def refusal(answer: requests.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["error"]["code"]

    versioned = requests.post(f"{url}?api-version=2025-04-01", headers=KEY, json={}, timeout=20)
    assert versioned.status_code == 400
    assert refusal(requests.post(url, headers=KEY, json=body, timeout=20)) == (404, "DeploymentNotFound")
    for headers in ({}, {"api-key": "invalid-key"}, {"Authorization": "Bearer invalid-token"}):
        assert refusal(requests.post(url, headers=headers, json={}, timeout=20)) == (401, "401")
    with pytest.raises(AuthenticationError), OpenAI(base_url=base_url, api_key="invalid") as client:
        client.models.list()

    secret = azure.service.token().json()["value"]
    refused = pytest.raises(websocket.WebSocketBadStatusException, match="401")
    with refused, line(base_url, "?model=my-voice", **offering(secret)):
        pass
    with line(base_url, "?model=my-voice", **bearing(secret)) as client:
        assert client.until("session.created")


def test_the_offer_is_relayed_with_the_secret_and_without_the_key() -> None:
    offer = Offer(OFFER.encode(), data_channel_id=3)
    grant = Grant("realtime", MODEL, {"type": "realtime", "model": MODEL}, 60)
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


def test_a_call_is_minted_for_thirty_seconds_with_its_whole_session(azure: Dialect) -> None:
    """What mints it is used at once, and named for the deployment."""
    azure.reset()
    voice = azure.user("minted")
    call_id = voice.opened(session={"instructions": "Be brief."})
    [mint] = azure.mints()

    assert mint.body == {
        "expires_after": {"anchor": "created_at", "seconds": 30},
        "session": {"type": "realtime", "model": "my-voice", "instructions": "Be brief."},
    }
    voice.end(call_id)
    voice.wait_until_ended(seconds=5)


def test_the_secret_of_a_call_whose_offer_is_refused_is_shown_to_nobody_and_costs_nothing(
    azure: Dialect,
) -> None:
    """It opens no other call, and expires unused. The refusal is the vendor's, about the caller's own offer."""
    azure.reset()
    voice = azure.user("a bad offer")
    refused = voice.open("v=0\r\n")

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "sdp")
    assert refused.headers["x-should-retry"] == "false"
    [mint] = azure.mints()
    assert mint.body["expires_after"]["seconds"] == 30
    opened = voice.open()
    assert opened.status_code == 201, opened.text
    assert '"call-seconds";r=3000' in opened.headers["RateLimit"]
    assert len(azure.mints()) == len(at_sandbox(azure.sandbox)) + 1 == 2
    assert "ek_" not in refused.text + azure.service.run.output
    voice.end(opened.json()["call"]["id"])
    voice.wait_until_ended(seconds=5)


def attach(dialect: Dialect, session_id: str) -> None:
    """Watch a Live session with the resource's key, and leave it again."""
    url = f"{dialect.sandbox.base_url.replace('http', 'ws', 1)}/live/sessions/{session_id}/attach"
    websocket.create_connection(url, header=["api-key: azure-key"], timeout=15).close()


def test_a_live_session_is_ended_before_and_after_its_control_socket_is_there(azure: Dialect) -> None:
    """Until its client is connected the socket answers 404: that ends nothing, and ``hangup`` is tried next."""
    azure.reset()
    voice = azure.user("late sockets")
    with webrtc_clients(2) as clients:
        for number, ended_by in enumerate(("hangup", "sideband")):
            opened = voice.open(clients.offers[number], model=LIVE)
            there = at_sandbox(azure.sandbox)[-1]["id"]
            with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
                attach(azure, there)
            assert [call["state"] for call in voice.listed()] == ["open"]
            if ended_by == "sideband":
                clients.answer(opened.json()["sdp"], call=number)
                clients.until_open(call=number)
                attach(azure, there)
            assert voice.end(opened.json()["call"]["id"]).status_code == 204
            voice.wait_until_ended(seconds=5)
            voice.wait_until_told(opened.json()["call"]["id"], "client")
            assert listed(azure.sandbox.base_url, there)["ended_by"] == ended_by


def checked(sandbox: Sandbox, **variables: str) -> str:
    """Run what ``check`` does with the vendor, in this process; return its lines."""
    environ = {"OPENAI_VENDOR": "azure", "OPENAI_API_KEY": "azure-key", **variables}
    return "\n".join(Report(checks(service_environ(sandbox.base_url, **environ))["key"]()).lines)


def test_check_tries_the_key_each_deployment_and_the_regions_models(azure_sandbox: Sandbox) -> None:
    """A secret of ten seconds tells of a deployment; what only costs money to try, the region's list tells of."""
    deployed = f"{MODEL}=my-voice,gpt-realtime-9=my-voice,{LIVE}=my-live,gpt-live-9=my-live"
    absent = f"{EARS}=nobody-deployed-this,gpt-nonsense,gpt-realtime-2=my-ears"
    azure_sandbox.reset()
    lines = checked(azure_sandbox, ALLOWED_MODELS=f"{deployed},{absent}").splitlines()

    part, region = "its deployment takes client secrets", "no model of this name is in the region's list"
    fix = "deploy it, in a region that has it, or name its deployment in ALLOWED_MODELS: public=deployment"
    assert f"✓ key: accepted by {azure_sandbox.base_url}" in lines
    assert f"✓ model {MODEL}: {part}" in lines
    assert f"✓ model gpt-realtime-9: {part}; {region}" in lines
    untried = "and cannot be tested free of charge"
    assert f"✓ model {LIVE}: in the vendor's list, {untried}" in lines
    assert f"✓ model gpt-live-9: not in the vendor's list (which is incomplete), {untried}" in lines
    refused = [line for line in lines[:-1] if line.startswith("✗")]
    unknown, other = "answered 404 (DeploymentNotFound)", "answered 400 (OperationNotSupported)"
    assert [line.partition(" → ")[0] for line in refused] == [
        f"✗ model {EARS}: its deployment {unknown}",
        f"✗ model gpt-nonsense: its deployment {unknown}; {region}",
        f"✗ model gpt-realtime-2: its deployment {other}",
    ]
    assert "\n".join(lines).count(fix) == 3
    assert "WebRTC (calls_url) is the documented way" in "\n".join(lines)
    minted = [mint["body"]["expires_after"]["seconds"] for mint in azure_sandbox.mints()]
    assert minted == [10] * 5


def test_check_says_what_to_do_where_azure_refuses_the_key(azure_sandbox: Sandbox) -> None:
    lines = checked(azure_sandbox, OPENAI_API_KEY="invalid-key")

    assert f"✗ key: {azure_sandbox.base_url} answered 401" in lines
    assert "one of the resource's two keys" in lines
    assert "invalid-key" not in lines


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--azure", "--beta"), "Azure has no beta"),
        (("--deployment", "a=gpt-realtime-2.1"), "goes with --azure"),
        (("--azure", "--deployment", "a=gpt-nonsense"), "there is no model gpt-nonsense"),
    ],
)
def test_the_sandboxes_command_says_what_does_not_go_together(options: tuple[str, ...], words: str) -> None:
    refused = CliRunner().invoke(sandbox_command, options)
    assert refused.exit_code == 2
    assert words in refused.output
