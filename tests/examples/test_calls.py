"""The vendor's own SDKs open calls through the service, by base URL and JWT alone, and hear an answer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from openai import OpenAI

from tests.support.examples import program
from tests.support.offers import OFFER
from tests.support.processes import bare_environ
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.voice import ADMIN_TOKEN, LIVE, MODELS, Voice, at_sandbox
from tests.support.webrtc import write_sentence
from tests.support.webrtc_page import page_with_microphone

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SENTENCE = "Good morning. Could you please tell me what the weather will be like in Paris this afternoon?"


@pytest.fixture(scope="module")
def serving(sandbox: Sandbox, app_origin: str) -> Iterator[TokenService]:
    """A service whose page is of another origin."""
    variables = {"ALLOWED_MODELS": MODELS, "ALLOWED_ORIGINS": app_origin, "ADMIN_TOKEN": ADMIN_TOKEN}
    with running_service(sandbox.base_url, **variables) as service:
        yield service


@pytest.fixture
def voice(serving: TokenService, sandbox: Sandbox) -> Voice:
    """The user whom the SDKs speak for."""
    sandbox.reset()
    return Voice(serving, sandbox)


@pytest.fixture
def page(chromium: Browser, app_origin: str, tmp_path: Path) -> Iterator[Page]:
    """A page of the app, whose microphone hears a sentence."""
    if not shutil.which("espeak-ng"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("espeak-ng is not installed")
    write_sentence(tmp_path / "sentence.wav", SENTENCE)
    with page_with_microphone(chromium, app_origin, tmp_path / "sentence.wav") as page:
        yield page


def test_the_python_sdk_opens_and_ends_calls(voice: Voice) -> None:
    session: Any = {"model": LIVE}
    with OpenAI(base_url=f"{voice.service.url}/v1", api_key=voice.jwt) as client:
        live = client.live.create(session=session, transport={"type": "webrtc", "sdp": OFFER})
        assert live.session.id.startswith("call_")
        client.live.sessions.hangup(live.session.id)
        voice.wait_until_ended()
        realtime: Any = {"type": "realtime", "model": "gpt-realtime-2.1"}
        answer = client.realtime.calls.create(sdp=OFFER, session=realtime)
        call_id = answer.response.headers["location"].rpartition("/")[2]
        assert answer.text.startswith("v=0\r\n")
        client.realtime.calls.hangup(call_id)
    voice.wait_until_ended()
    assert [call["ended_by"] for call in at_sandbox(voice.sandbox)] == ["sideband", "hangup"]


def test_the_node_sdk_opens_and_ends_calls(voice: Voice, run_node: Callable[..., str]) -> None:
    environ = bare_environ(JWT=voice.jwt, TOKEN_SERVICE=voice.service.url, OFFER=OFFER)
    printed = run_node(program("sdk/calls.mjs"), environ)

    live, realtime, refused = printed.splitlines()
    assert live.startswith("call_")
    assert live.endswith("true")
    assert realtime.startswith("call_")
    assert realtime.endswith("true")
    assert refused == "PermissionDeniedError 403 model_not_allowed"
    voice.wait_until_ended()


def test_the_live_client_of_a_page_connects_and_is_cut_off(page: Page, voice: Voice) -> None:
    """``OpenAILiveWebRTC``, with a callback of one ``live.create``."""
    page.evaluate(
        """async ({ baseURL, apiKey }) => {
      const { OpenAI } = await import("/node_modules/openai/index.mjs");
      const { OpenAILiveWebRTC } = await import("/node_modules/openai/live/webrtc.mjs");
      const client = new OpenAI({ baseURL, apiKey, dangerouslyAllowBrowser: true });
      const live = (globalThis.live = new OpenAILiveWebRTC());
      listenTo(live.peerConnection);
      live.onEvent((event) => events.push({ ...event }));
      const stream = await microphone();
      live.peerConnection.addTrack(stream.getAudioTracks()[0], stream);
      const exchangeSdp = async (sdp) => {
        const created = await client.live.create({
          session: { model: "gpt-live-1.1" },
          transport: { type: "webrtc", sdp },
        });
        return created.transport.sdp;
      };
      await live.connect({ exchangeSdp });
      await until("session.started");
      await until("session.output_transcript.delta");
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }""",
        {"baseURL": f"{voice.service.url}/v1", "apiKey": voice.jwt},
    )
    assert page.evaluate("energyOf(live.peerConnection)") > 0.01
    (call,) = voice.listed()
    assert voice.end(call["id"]).status_code == 204
    assert page.evaluate("until('session.closed')")["reason"] == "close_requested"
    voice.wait_until_ended()


def test_the_agents_sdk_connects_and_is_cut_off(page: Page, voice: Voice) -> None:
    """``@openai/agents`` over WebRTC, with the service's ``baseUrl`` and the user's JWT."""
    told = page.evaluate(
        """async ({ baseUrl, jwt }) => {
      const sdk = await import("/node_modules/@openai/agents-realtime/dist/bundle/openai-realtime-agents.mjs");
      const agent = new sdk.RealtimeAgent({ name: "guide", instructions: "Be brief." });
      const mediaStream = new AudioContext().createMediaStreamDestination().stream;  // nobody speaks
      const transport = new sdk.OpenAIRealtimeWebRTC({ baseUrl, mediaStream, useInsecureApiKey: true });
      globalThis.session = new sdk.RealtimeSession(agent, { transport, model: "gpt-realtime-2.1" });
      session.on("transport_event", (event) => events.push({ ...event }));
      globalThis.lost = new Promise((resolve) => transport.on("connection_change", (state) => {
        if (state === "disconnected") resolve(state);
      }));
      await session.connect({ apiKey: jwt });
      session.sendMessage("Hello there!");
      await until("output_audio_buffer.stopped");
      const energy = await energyOf(transport.connectionState.peerConnection);
      return { energy, callId: transport.callId };
    }""",
        {"baseUrl": f"{voice.service.url}/v1/realtime/calls", "jwt": voice.jwt},
    )
    assert told["energy"] > 0.01
    assert [call["id"] for call in voice.listed()] == [told["callId"]]
    voice.end(told["callId"])
    voice.wait_until_ended()
    assert page.evaluate("lost") == "disconnected"
