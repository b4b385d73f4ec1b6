"""The vendor's SDKs on Azure, with a secret that the service minted: their clients for Azure, and those for WebRTC."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from openai import AsyncAzureOpenAI, AzureOpenAI, OpenAI

from tests.support.dialects import DEPLOYMENTS, LIVE, MODEL, Dialect, azure_variables
from tests.support.examples import install_node_packages, node, program, running_origin
from tests.support.offers import OFFER
from tests.support.processes import bare_environ
from tests.support.service import running_sandbox, running_service
from tests.support.tokens import sign
from tests.support.tools import require
from tests.support.voice import at_sandbox
from tests.support.webrtc import write_sentence
from tests.support.webrtc_page import page_with_microphone

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DEPLOYMENT = DEPLOYMENTS[MODEL]
SESSION: Any = {"type": "realtime", "model": MODEL}
TEXT: Any = {"output_modalities": ["text"]}
SENTENCE = "Good morning. Could you please tell me what the weather will be like in Paris this afternoon?"


def at(base_url: str, token: str) -> dict[str, Any]:
    """Make the arguments of a client for Azure: a JWT, or a secret, in the place of an Entra ID token."""
    websocket = base_url.replace("http", "ws", 1)
    return {
        "base_url": base_url,
        "websocket_base_url": websocket,
        "azure_ad_token": token,
        "api_version": "",
    }


def test_the_client_for_azure_mints_and_talks_with_the_secret(azure: Dialect) -> None:
    """Its socket names the deployment."""
    with AzureOpenAI(**at(f"{azure.service.url}/v1", sign())) as client:
        secret = client.realtime.client_secrets.create(session=SESSION)
    talker = AzureOpenAI(**at(azure.sandbox.base_url, secret.value))
    with talker, talker.realtime.connect(model=DEPLOYMENT) as session:
        session.response.create(response=TEXT)
        done = next(event for event in session if event.type == "response.done")
    assert done.response.status == "completed"


def test_the_asynchronous_client_for_azure_does_the_same(azure: Dialect) -> None:
    async def converse() -> str | None:
        async with AsyncAzureOpenAI(**at(f"{azure.service.url}/v1", sign())) as client:
            secret = await client.realtime.client_secrets.create(session=SESSION)
        async with (
            AsyncAzureOpenAI(**at(azure.sandbox.base_url, secret.value)) as talker,
            talker.realtime.connect(model=DEPLOYMENT) as session,
        ):
            await session.response.create(response=TEXT)
            async for event in session:
                if event.type == "response.done":
                    return event.response.status
        return None

    # In a thread of its own: Playwright keeps a loop running in this one.
    with ThreadPoolExecutor(max_workers=1) as thread:
        assert thread.submit(asyncio.run, converse()).result(30) == "completed"


def test_the_plain_client_talks_on_azures_base_path(azure: Dialect) -> None:
    secret = azure.service.token().json()["value"]
    with (
        OpenAI(base_url=azure.sandbox.base_url, api_key=secret) as talker,
        talker.realtime.connect(model=DEPLOYMENT) as session,
    ):
        session.response.create(response=TEXT)
        assert next(event for event in session if event.type == "response.done")


def test_the_client_opens_and_ends_calls_through_the_service(azure: Dialect) -> None:
    """By base URL and JWT alone, as at OpenAI; the client need not know that Azure is behind it."""
    azure.reset()
    voice = azure.user("the SDK")
    with OpenAI(base_url=f"{azure.service.url}/v1", api_key=voice.jwt) as client:
        live: Any = {"model": LIVE}
        opened = client.live.create(session=live, transport={"type": "webrtc", "sdp": OFFER})
        client.live.sessions.hangup(opened.session.id)
        answer = client.realtime.calls.create(sdp=OFFER, session=SESSION)
        assert answer.text.startswith("v=0\r\n")
        client.realtime.calls.hangup(answer.response.headers["location"].rpartition("/")[2])
    voice.wait_until_ended(seconds=5)
    assert [call["api"] for call in at_sandbox(azure.sandbox)] == ["live", "realtime"]


def test_both_sockets_of_the_sdk_for_node_talk_with_the_secret() -> None:
    """Over TLS, as it insists: ``OpenAIRealtimeWS.azure`` and ``OpenAIRealtimeWebSocket.azure``."""
    require("node", "npm")
    install_node_packages()
    with running_sandbox("--azure", "--tls", f"--deployment={DEPLOYMENT}={MODEL}") as sandbox:
        certificate = sandbox.run.output.partition("certificate: ")[2].split()[0]
        variables = azure_variables(REQUESTS_CA_BUNDLE=certificate)
        with running_service(sandbox.base_url, **variables) as service:
            environ = bare_environ(
                JWT=sign(),
                TOKEN_SERVICE=service.url,
                AZURE_BASE_URL=sandbox.base_url,
                DEPLOYMENT=DEPLOYMENT,
                NODE_EXTRA_CA_CERTS=certificate,
            )
            printed = node(program("sdk/azure.mjs"), environ)
    assert printed.splitlines() == [f"completed {DEPLOYMENT}"] * 2


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """An origin that serves the vendor's packages, as an app does."""
    require("node", "npm", "espeak-ng")
    install_node_packages()
    with running_origin() as address:
        yield address


@pytest.fixture
def page(chromium: Browser, origin: str, tmp_path: Path) -> Iterator[Page]:
    """A page of the app, whose microphone hears a sentence."""
    write_sentence(tmp_path / "sentence.wav", SENTENCE)
    with page_with_microphone(chromium, origin, tmp_path / "sentence.wav") as page:
        yield page


def test_the_webrtc_client_of_a_page_talks_with_the_secret(page: Page, azure: Dialect) -> None:
    """``OpenAIRealtimeWebRTC``, which leaves the offer to the app; with the filter it hears that it is answered."""
    connection = azure.service.token().json()
    heard = page.evaluate(
        """async ({ value, connection }) => {
      const { OpenAIRealtimeWebRTC } = await import("/node_modules/openai/realtime/webrtc.mjs");
      const realtime = new OpenAIRealtimeWebRTC();
      listenTo(realtime.peerConnection);
      realtime.onEvent((event) => events.push({ ...event }));
      const stream = await microphone();
      realtime.peerConnection.addTrack(stream.getAudioTracks()[0], stream);
      const exchangeSdp = async (sdp) => {
        const headers = { Authorization: `Bearer ${value}`, "Content-Type": "application/sdp" };
        const answer = await fetch(connection.calls_url, { method: "POST", headers, body: sdp });
        return await answer.text();
      };
      await realtime.connect({ exchangeSdp });
      await until("input_audio_buffer.speech_started");
      await until("response.output_audio_transcript.done");
      await until("output_audio_buffer.started");
      await new Promise((resolve) => setTimeout(resolve, 1000));  // of the answer's sound
      const energy = await energyOf(realtime.peerConnection);
      realtime.close();
      return { energy, kinds: events.map(({ type }) => type) };
    }""",
        {"value": connection["value"], "connection": connection["connection"]},
    )
    assert heard["energy"] > 0.01
    assert not {"session.created", "response.created", "response.done"} & set(heard["kinds"])


def test_the_live_client_of_a_page_connects_through_the_service_and_is_cut_off(
    page: Page, azure: Dialect
) -> None:
    """``OpenAILiveWebRTC``, with a callback that asks the service; its deployment has another name at Azure."""
    azure.reset()
    voice = azure.user("the SDK's Live client")
    opened: list[str] = []

    def exchange(offer: str) -> str:
        answer = voice.open(offer, model=LIVE)
        opened.append(answer.json()["call"]["id"])
        return str(answer.json()["sdp"])

    page.expose_function("exchange", exchange)
    page.evaluate("""async () => {
      const { OpenAILiveWebRTC } = await import("/node_modules/openai/live/webrtc.mjs");
      const live = (globalThis.live = new OpenAILiveWebRTC());
      listenTo(live.peerConnection);
      live.onEvent((event) => events.push({ ...event }));
      const stream = await microphone();
      live.peerConnection.addTrack(stream.getAudioTracks()[0], stream);
      await live.connect({ exchangeSdp: (offer) => exchange(offer) });
      await until("session.started");
      await until("session.output_transcript.delta");
    }""")
    assert voice.end(opened[0]).status_code == 204
    assert page.evaluate("until('session.closed')")["reason"] == "close_requested"
    voice.wait_until_ended(seconds=5)
    assert at_sandbox(azure.sandbox)[0]["ended_by"] == "sideband"
