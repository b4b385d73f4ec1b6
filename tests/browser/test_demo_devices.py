"""The page's microphone and loudspeaker where a session ends, a click comes too early, or a script does not load."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.browser import DemoPage

WATCH = """() => {
  const media = navigator.mediaDevices;
  const ask = media.getUserMedia.bind(media);
  const allowed = new Promise((resolve) => (globalThis.allow = resolve));
  globalThis.prompts = 0;
  globalThis.tracks = [];
  globalThis.contexts = [];
  media.getUserMedia = async (wanted) => {
    prompts++;
    await allowed;
    const stream = await ask(wanted);
    tracks.push(...stream.getTracks());
    return stream;
  };
  globalThis.AudioContext = class extends AudioContext {
    constructor(options) {
      super(options);
      contexts.push(this);
    }
  };
}"""
"""Has the microphone wait until ``allow`` is called, as for a visitor; keeps its tracks and the contexts of sound."""


@pytest.fixture
def watched(demo: DemoPage) -> DemoPage:
    """The demo page, where a test sees which devices are open."""
    demo.page.evaluate(WATCH)
    return demo


def expect_given_back(demo: DemoPage, *, prompts: int = 1) -> None:
    """Wait until every microphone that was opened is closed, so that the browser's sign of it goes out."""
    demo.page.wait_for_function(
        "(prompts) => tracks.length === prompts && tracks.every((track) => track.readyState === 'ended')",
        arg=prompts,
    )
    assert demo.page.evaluate("prompts") == prompts


def test_talk_during_the_browsers_prompt_opens_one_microphone(watched: DemoPage) -> None:
    """A session over WebRTC asks for it by itself; the click joins that, and nothing stays open at the end."""
    watched.connect("webrtc")
    watched.press("Talk")
    watched.page.evaluate("allow()")
    expect(watched.status).to_have_text("Listening…")
    watched.press("Disconnect")
    expect(watched.status).to_have_text("Not connected")
    expect_given_back(watched)


@pytest.mark.parametrize("access", ["webrtc", "websocket"])
def test_a_microphone_that_comes_after_the_session_is_given_back(watched: DemoPage, access: str) -> None:
    """The visitor disconnects before answering the browser's prompt."""
    watched.connect(access)
    if access == "websocket":
        watched.press("Talk")
    watched.press("Disconnect")
    expect(watched.status).to_have_text("Not connected")
    watched.page.evaluate("allow()")
    expect_given_back(watched)


def test_a_microphone_that_was_stopped_is_asked_for_again(watched: DemoPage) -> None:
    """Talk, stop, and talk again over WebRTC."""
    watched.page.evaluate("allow()")
    watched.connect("webrtc")
    expect(watched.status).to_have_text("Listening…")
    watched.press("Stop talking")
    expect_given_back(watched)
    watched.press("Talk")
    expect(watched.status).to_have_text("Listening…")
    watched.press("Disconnect")
    expect_given_back(watched, prompts=2)


def test_a_microphone_is_given_back_where_its_worklet_does_not_load(watched: DemoPage) -> None:
    """The visitor is told, the session goes on, and neither the device nor its context stays open."""
    watched.page.evaluate("allow()")
    watched.page.evaluate("""() => {
      AudioWorklet.prototype.addModule = async () => { throw new DOMException("No such module", "AbortError"); };
    }""")
    watched.connect("websocket")
    watched.press("Talk")
    expect(watched.notice).to_be_visible()
    expect_given_back(watched)
    watched.page.wait_for_function("() => contexts.at(-1).state === 'closed'")
    expect(watched.status).to_have_text("Connected")


def test_disconnecting_ends_the_session_at_once(watched: DemoPage) -> None:
    """What would be sent before the socket has closed is not: the browser would drop it, and complain."""
    watched.page.evaluate("allow()")
    watched.connect("websocket")
    watched.press("Talk")
    watched.expect_event("input_audio_buffer.append")
    told = watched.page.evaluate("""() => {
      const logged = () => [...document.querySelectorAll("#events li")]
        .reduce((sum, item) => sum + Number(item.dataset.count), 0);
      const before = logged();
      document.querySelector("#connect").click();
      document.querySelector("#sample").click();
      const states = tracks.map((track) => track.readyState);
      return { states, sent: logged() - before, status: document.querySelector("#status").textContent };
    }""")
    assert told == {"states": ["ended"], "sent": 0, "status": "Not connected"}
    watched.connect()
    assert watched.steps == ["passed"] * 6
    watched.say("Are you there?")
    watched.expect_event("response.done")


def test_what_is_sent_while_the_other_side_closes_is_dropped(watched: DemoPage) -> None:
    """Such as the microphone's next chunk: the close that follows tells the visitor all there is to tell."""
    watched.connect("websocket")
    told = watched.page.evaluate("""() => {
      Object.defineProperty(WebSocket.prototype, "readyState", { get: () => WebSocket.CLOSING });
      document.querySelector("#sample").click();
      return document.querySelectorAll("#events li[data-name^=input_audio_buffer]").length;
    }""")
    assert told == 0


def test_escape_after_a_session_is_without_effect(watched: DemoPage) -> None:
    """The loudspeaker has been closed, in the middle of an answer or not."""
    watched.connect("websocket")
    watched.say("Tell me a long story, with many words in it, about everything that you have ever heard of.")
    watched.expect_event("response.output_audio.delta")
    watched.press("Disconnect")
    watched.page.wait_for_function("() => contexts.every((context) => context.state === 'closed')")
    watched.page.keyboard.press("Escape")
    watched.page.evaluate("new Promise((resolve) => setTimeout(resolve))")
