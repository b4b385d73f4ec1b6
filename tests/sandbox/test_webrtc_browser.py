"""WebRTC as browsers speak it: Chromium with a microphone, the vendor's two SDKs, and our own companion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.examples import install_node_packages, running_origin
from tests.support.realtime import mint
from tests.support.service import Sandbox, TokenService
from tests.support.tokens import sign
from tests.support.tools import require
from tests.support.webrtc import listed, open_call, open_live, write_sentence
from tests.support.webrtc_page import PRELUDE, page_with_microphone

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SENTENCE = "Good morning. Could you tell me what the weather will be like?"


@pytest.fixture(scope="module")
def sentence(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A spoken sentence as a WAV file, and its length in seconds."""
    require("espeak-ng")
    path = tmp_path_factory.mktemp("speech") / "sentence.wav"
    return path, write_sentence(path, SENTENCE)


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """An origin that serves the vendor's packages."""
    require("node", "npm")
    install_node_packages()
    with running_origin() as address:
        yield address


@pytest.fixture
def page(chromium: Browser, sentence: tuple[Path, float], origin: str) -> Iterator[Page]:
    """A page of a browser whose microphone hears the sentence once."""
    with page_with_microphone(chromium, origin, sentence[0]) as tab:
        yield tab


def _connect_plainly(page: Page, exchange: Callable[[str], str]) -> None:
    page.expose_function("exchange", exchange)
    page.evaluate("""async () => {
      const peer = (globalThis.peer = new RTCPeerConnection());
      listenTo(peer);
      const stream = await microphone();
      peer.addTrack(stream.getAudioTracks()[0], stream);
      globalThis.channel = peer.createDataChannel("oai-events");
      channel.onmessage = ({ data }) => events.push(JSON.parse(data));
      await peer.setLocalDescription(await peer.createOffer());
      await peer.setRemoteDescription({ type: "answer", sdp: await exchange(peer.localDescription.sdp) });
    }""")


def _until(page: Page, kind: str) -> dict[str, Any]:
    event: dict[str, Any] = page.evaluate("kind => until(kind)", kind)
    return event


@pytest.mark.alone
def test_a_microphone_is_heard_and_answered(
    page: Page, sandbox: Sandbox, sentence: tuple[Path, float]
) -> None:
    """What Chromium's microphone says is one or two turns of speech, of the right length; the answer is sound."""
    listening = {"input": {"transcription": {"model": "gpt-live-transcribe"}}}
    listening["input"]["turn_detection"] = {"type": "server_vad", "silence_duration_ms": 900}  # type: ignore[dict-item]
    opened: list[str] = []

    def exchange(offer: str) -> str:
        answer = open_call(sandbox.base_url, offer, audio=listening)
        opened.append(answer.headers["Location"].rpartition("/")[2])
        return answer.text

    _connect_plainly(page, exchange)
    _until(page, "session.created")
    _until(page, "input_audio_buffer.speech_started")
    transcript = _until(page, "conversation.item.input_audio_transcription.completed")["transcript"]
    seconds = float(transcript.removeprefix("I spoke to you for ").removesuffix(" seconds."))
    assert seconds == pytest.approx(sentence[1], abs=1.5)
    _until(page, "output_audio_buffer.started")
    _until(page, "output_audio_buffer.stopped")
    assert page.evaluate("energyOf(peer)") > 0.01
    assert listed(sandbox.base_url, opened[0])["connected"]
    page.evaluate("peer.close()")


@pytest.mark.parametrize("vendor", ["sandbox", "azure_sandbox"])
def test_the_vendors_agents_sdk_connects_and_hears_an_answer(
    page: Page, request: pytest.FixtureRequest, vendor: str
) -> None:
    """``@openai/agents`` in a browser, with its default transport, at OpenAI and on Azure.

    There without the filter, which would hold back the ``session.updated`` that it waits for, and its tools' calls.
    """
    sandbox: Sandbox = request.getfixturevalue(vendor)
    secret = mint(sandbox.base_url)
    heard = page.evaluate(
        """async ({ url, secret }) => {
      const sdk = await import("/node_modules/@openai/agents-realtime/dist/bundle/openai-realtime-agents.mjs");
      const agent = new sdk.RealtimeAgent({ name: "guide", instructions: "Be brief." });
      const mediaStream = new AudioContext().createMediaStreamDestination().stream;  // nobody speaks
      const transport = new sdk.OpenAIRealtimeWebRTC({ baseUrl: `${url}/realtime/calls`, mediaStream });
      const session = new sdk.RealtimeSession(agent, { transport, model: "gpt-realtime-2.1" });
      session.on("transport_event", (event) => events.push({ ...event }));
      await session.connect({ apiKey: secret });
      const status = transport.status;
      session.sendMessage("Hello there!");
      await until("output_audio_buffer.started");
      const { response } = await until("response.done");
      await until("output_audio_buffer.stopped");
      const energy = await energyOf(transport.connectionState.peerConnection);
      const callId = transport.callId;
      session.close();
      return { status, energy, callId, answer: response.output[0].content[0].transcript };
    }""",
        {"url": sandbox.base_url, "secret": secret},
    )
    assert heard["status"] == "connected"
    assert heard["answer"].startswith("Hello to you too!")
    assert heard["energy"] > 0.01
    assert heard["callId"].startswith("rtc_")


def test_our_companion_connects_through_the_service(
    page: Page, sandbox: Sandbox, service: TokenService
) -> None:
    """``connectWebRTC`` of ``/static/realtime.js``, with a secret that the service mints for it."""
    page.goto(f"{service.url}/healthz")
    page.evaluate(PRELUDE)
    location = page.evaluate(
        """async ({ tokenUrl, jwt }) => {
      const { connectWebRTC, requestToken } = await import("/static/realtime.js");
      const peer = (globalThis.peer = new RTCPeerConnection());
      listenTo(peer);
      const stream = await microphone();
      peer.addTrack(stream.getAudioTracks()[0], stream);
      const channel = peer.createDataChannel("oai-events");
      channel.onmessage = ({ data }) => events.push(JSON.parse(data));
      const { location } = await connectWebRTC(peer, (options) => requestToken(tokenUrl, jwt, options));
      return location;
    }""",
        {"tokenUrl": f"{service.url}/token", "jwt": sign()},
    )
    _until(page, "session.created")
    _until(page, "input_audio_buffer.speech_started")
    _until(page, "output_audio_buffer.stopped")
    assert page.evaluate("energyOf(peer)") > 0.01
    assert listed(sandbox.base_url, location.rpartition("/")[2])["connected"]
    page.evaluate("peer.close()")


def test_the_vendors_live_client_connects_and_hears_an_answer(page: Page, sandbox: Sandbox) -> None:
    """``OpenAILiveWebRTC`` turns an offer into an answer by a callback, which a server of ours serves."""

    def exchange(offer: str) -> str:
        answer: str = open_live(sandbox.base_url, offer).json()["transport"]["sdp"]
        return answer

    page.expose_function("exchange", exchange)
    told = page.evaluate("""async () => {
      const { OpenAILiveWebRTC } = await import("/node_modules/openai/live/webrtc.mjs");
      const live = new OpenAILiveWebRTC();
      listenTo(live.peerConnection);
      live.onEvent((event) => events.push({ ...event }));
      const stream = await microphone();
      live.peerConnection.addTrack(stream.getAudioTracks()[0], stream);
      await live.connect({ exchangeSdp: (offer) => exchange(offer) });
      const { session } = await until("session.started");
      await until("session.input_transcript.delta");
      await until("session.output_transcript.delta");
      await until("session.output_transcript.delta");
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const energy = await energyOf(live.peerConnection);
      live.send({ type: "session.close" });
      const { reason, usage } = await until("session.closed");
      live.close();
      return { session, reason, usage, energy };
    }""")
    assert told["session"]["id"].startswith("live_")
    assert told["energy"] > 0.01
    assert (told["reason"], told["usage"]["seconds"] >= 15) == ("close_requested", True)
    assert listed(sandbox.base_url, told["session"]["id"])["ended_by"] == "data_channel"


def test_an_offer_without_candidates_connects(page: Page, sandbox: Sandbox) -> None:
    """Clients that trickle do not wait for their candidates: their address shows itself."""
    offers: list[str] = []

    def exchange(offer: str) -> str:
        offers.append(offer)
        return open_call(sandbox.base_url, offer).text

    page.expose_function("exchange", exchange)
    page.evaluate("""async () => {
      const peer = (globalThis.peer = new RTCPeerConnection());
      peer.addTransceiver("audio");
      const channel = peer.createDataChannel("oai-events");
      channel.onmessage = ({ data }) => events.push(JSON.parse(data));
      const offer = await peer.createOffer();
      await peer.setLocalDescription(offer);
      await peer.setRemoteDescription({ type: "answer", sdp: await exchange(offer.sdp) });
    }""")
    assert "a=candidate" not in offers[0]
    _until(page, "session.created")
    page.evaluate("peer.close()")
