"""Calls on the page: opened, talked through, timed, ended by the visitor, the admin, the deadline or a revocation."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import DemoPage


@pytest.mark.usefixtures("running_out")
def test_a_live_call_is_talked_through(demo: DemoPage) -> None:
    """The microphone is heard and answered; every step tells what it made of the call, and time runs."""
    demo.connect("live")

    expect(demo.status).to_have_text("Listening…")
    demo.expect_event("session.input_transcript.delta")
    demo.expect_event("session.output_transcript.delta")
    expect(demo.own_words.first).not_to_be_empty()
    expect(demo.answers.first).not_to_be_empty()
    assert demo.steps == ["passed"] * 6
    expect(demo.step("policy")).to_contain_text("mute, unmute, close")
    expect(demo.step("limit")).to_contain_text(re.compile(r"Minutes left\s*5\d:\d\d of 60:00 a day"))
    expect(demo.step("grant")).to_contain_text(re.compile(r"10:00 min granted[^\0]*call_"))
    expect(demo.time_left).to_have_text(re.compile(r"9:\d\d left"))
    expect(demo.page.get_by_label("Message")).to_be_disabled()


def test_a_realtime_call_is_typed_into_and_its_answer_stopped(demo: DemoPage) -> None:
    """Text goes over the data channel; the answer's sound comes on a track."""
    demo.connect("call")
    demo.press("Stop talking")
    # The answer repeats what is said, so that it lasts long enough to be stopped on a busy machine, too.
    demo.say(" ".join(["Tell me a long story, about everything that you have ever heard of."] * 4))
    expect(demo.own_words.first).to_have_text(re.compile(r"\w+"))
    demo.expect_event("output_audio_buffer.started")
    expect(demo.page.get_by_role("button", name="Stop the answer")).to_be_visible()
    demo.page.keyboard.press("Escape")
    demo.expect_event("output_audio_buffer.clear")
    expect(demo.page.get_by_role("button", name="Stop the answer")).to_be_hidden()


def test_a_secret_is_used_by_webrtc(demo: DemoPage) -> None:
    """The same session as by WebSocket; nobody but the visitor ends it, so no time is told."""
    demo.connect("webrtc")
    demo.expect_event("session.created")
    expect(demo.step("session")).to_contain_text("WebRTC")
    expect(demo.time_left).to_be_hidden()
    demo.press("Disconnect")
    expect(demo.status).to_have_text("Not connected")
    expect(demo.step("session")).to_contain_text("Ended after")


def test_a_running_call_fits_every_width(demo: DemoPage) -> None:
    """With the time left in the bar and the steps filled in, nothing is wider than the screen."""
    demo.connect("live")
    for width in (1440, 768, 390):
        demo.page.set_viewport_size({"width": width, "height": 900})
        expect(demo.time_left).to_be_in_viewport()
        expect(demo.page.get_by_role("button", name="Disconnect")).to_be_in_viewport()
        assert demo.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width


def test_a_visitor_ends_the_call(demo: DemoPage) -> None:
    """One request, and the end is told once."""
    demo.connect("live")
    demo.press("Disconnect")
    expect(demo.status).to_have_text("Not connected")
    expect(demo.page.locator("[data-speaker=note]")).to_have_text(
        re.compile("The call has ended.*You ended it")
    )
    expect(demo.expect_event("POST /calls")).to_contain_text("201")
    expect(demo.page.locator('#events li[data-name^="DELETE /calls/call_"]')).to_contain_text("204")
    expect(demo.notice).to_be_hidden()


def test_the_admin_ends_a_call(demo: DemoPage) -> None:
    """Everybody's open calls are listed, the visitor's own marked; one press ends it."""
    demo.connect("call")
    demo.show("Admin")
    own = demo.page.locator("tr[data-own]")
    expect(own).to_contain_text("(you)")
    own.get_by_role("button", name="End").click()
    expect(demo.page.locator("[data-speaker=note]")).to_contain_text("An admin ended it")
    expect(demo.page.locator("tr[data-own]")).to_have_count(0)


def test_a_revocation_ends_the_call_and_refuses_the_token(demo: DemoPage) -> None:
    """The call ends before one's eyes, the same JWT opens nothing more, and somebody new may connect."""
    demo.connect("live")
    demo.show("Admin")
    demo.press("Revoke")
    expect(demo.page.get_by_text("was revoked: 1 open call is ended")).to_be_visible()
    expect(demo.page.locator("[data-speaker=note]")).to_contain_text("You were revoked")
    expect(demo.step("session")).to_contain_text("revoked")

    demo.page.get_by_role("button", name="Connect", exact=True).click()
    expect(demo.notice).to_contain_text("401 invalid_token")
    expect(demo.step("jwt")).to_have_attribute("data-state", "refused")
    demo.page.get_by_text("Your token:").click()
    demo.press("Sign in as somebody new")
    demo.connect()


def test_a_newer_call_takes_the_place_of_the_older(demo: DemoPage) -> None:
    """With one call a user, the second tab's ends the first's, and the first is told."""
    demo.connect("live")
    jwt = demo.page.locator("#jwt").input_value()
    other = demo.page.context.new_page()
    other.goto(demo.page.url)
    other.locator("#jwt").evaluate("(field, jwt) => (field.value = jwt)", jwt)
    second = DemoPage(other)
    second.connect("live")
    expect(demo.page.locator("[data-speaker=note]")).to_contain_text("A newer call of yours took its place")
    expect(second.status).to_have_text("Listening…")
    other.close()


def test_leaving_the_page_ends_the_call(demo: DemoPage) -> None:
    """What is left behind would go on being paid for."""
    demo.connect("live")
    jwt = demo.page.locator("#jwt").input_value()
    demo.page.goto("about:blank")
    demo.page.goto(_demo_of(demo))
    demo.page.wait_for_function(
        """async (jwt) => {
          const answer = await fetch("/calls", { headers: { Authorization: `Bearer ${jwt}` } });
          return (await answer.json()).calls.every((call) => call.state !== "open");
        }""",
        arg=jwt,
    )


def _demo_of(demo: DemoPage) -> str:
    demo.page.go_back()
    return demo.page.url


@pytest.mark.parametrize("access", ["websocket", "live"])
def test_connected_and_silent_the_page_is_cheap(demo: DemoPage, access: str) -> None:
    """Under 5 % of a core on the page's thread: nothing is drawn, and no sound is reckoned with.

    The browser counts what its tasks take by the clock, so other programs only add to it: one quiet look is proof.
    """
    demo.connect(access)
    if access == "live":
        demo.press("Stop talking")
    cdp = demo.page.context.new_cdp_session(demo.page)
    cdp.send("Performance.enable")

    def busy() -> float:
        """Look for a second and a half; return the share of it that the page's thread had tasks."""
        before = read_metrics()
        demo.page.wait_for_timeout(1_500)
        after = read_metrics()
        return (after["TaskDuration"] - before["TaskDuration"]) / (after["Timestamp"] - before["Timestamp"])

    def read_metrics() -> dict[str, float]:
        return {one["name"]: one["value"] for one in cdp.send("Performance.getMetrics")["metrics"]}

    assert any(busy() < 0.05 for _ in range(6))


def test_a_call_ends_at_its_deadline_before_ones_eyes(running_out: DemoPage) -> None:
    """Thirty seconds count down; then the service ends it at the vendor, and the page says so."""
    session = running_out.step("session")
    expect(session).to_have_attribute("data-state", "ended", timeout=45_000)
    expect(session).to_contain_text(re.compile(r"Ended after 0:3\d[^\0]*deadline"))
    expect(running_out.page.locator("[data-speaker=note]")).to_contain_text("Its time was up")
    expect(running_out.status).to_have_text("Not connected")
