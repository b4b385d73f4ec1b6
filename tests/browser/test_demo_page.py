from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.support.browser import DemoPage


def test_a_visitor_types_and_hears_an_answer(demo: DemoPage) -> None:
    """From the page's load to a spoken answer: transcript, audio, and every event on the way."""
    demo.connect()
    demo.say("What is the weather like?")

    expect(demo.own_words).to_have_text("What is the weather like?")
    demo.expect_event("response.done")
    expect(demo.answers).not_to_be_empty()
    demo.expect_event("response.output_audio.delta")
    assert demo.audio_bytes > 24_000


def test_the_secret_travels_as_a_subprotocol_and_never_in_a_url(demo: DemoPage) -> None:
    """The socket offers ``openai-insecure-api-key.ek_…``, and the server selects ``realtime``."""
    cdp = demo.page.context.new_cdp_session(demo.page)
    asked: list[str] = []
    selected: list[str] = []
    cdp.send("Network.enable")
    cdp.on(
        "Network.webSocketWillSendHandshakeRequest",
        lambda event: asked.append(event["request"]["headers"]["Sec-WebSocket-Protocol"]),
    )
    cdp.on(
        "Network.webSocketHandshakeResponseReceived",
        lambda event: selected.append(event["response"]["headers"]["Sec-WebSocket-Protocol"]),
    )
    with demo.page.expect_websocket() as socket:
        demo.connect()

    assert re.fullmatch(r"realtime, openai-insecure-api-key\.ek_\w+", asked[0])
    assert selected == ["realtime"]
    assert "ek_" not in socket.value.url


def test_the_answer_may_be_written_instead(demo: DemoPage) -> None:
    """A session of written answers brings text, and no audio."""
    demo.choose("Written")
    demo.connect()
    demo.say("Please write.")

    demo.expect_event("response.output_text.delta")
    demo.expect_event("response.done")
    expect(demo.answers).not_to_be_empty()
    assert demo.audio_bytes == 0


def test_the_chosen_model_and_voice_are_the_sessions(demo: DemoPage) -> None:
    """A choice of model outlives a choice of how to be answered; both reach the session."""
    demo.page.get_by_label("Model").select_option("gpt-realtime-2.1-mini")
    demo.choose("Written")
    demo.choose("Spoken")
    demo.page.get_by_label("Voice").select_option("cedar")
    with demo.page.expect_response("**/token") as minted:
        demo.connect()

    session = minted.value.json()["session"]
    assert session["model"] == "gpt-realtime-2.1-mini"
    assert session["audio"]["output"]["voice"] == "cedar"


def test_the_answer_can_be_stopped(demo: DemoPage) -> None:
    """The vendor is told to stop, and how much of its answer was heard."""
    demo.connect()
    demo.say("Tell me a long story, with many words in it, about everything that you have ever heard of.")
    demo.expect_event("response.output_audio.delta")
    demo.press("Stop the answer")

    demo.expect_event("conversation.item.truncate")
    demo.expect_event("conversation.item.truncated")
    expect(demo.page.get_by_role("button", name="Stop the answer")).to_be_hidden()


def test_a_visitor_talks_and_is_answered(demo: DemoPage) -> None:
    """The microphone's audio is appended; the server hears the turn's end, transcribes it and answers."""
    demo.connect()
    demo.press("Talk")

    demo.expect_event("input_audio_buffer.append", times=3)
    demo.expect_event("input_audio_buffer.speech_started")
    demo.expect_event("conversation.item.input_audio_transcription.completed")
    demo.expect_event("response.output_audio.delta")
    expect(demo.own_words.first).not_to_be_empty()
    demo.press("Stop talking")
    expect(demo.page.get_by_role("button", name="Talk", exact=True)).to_be_visible()


def test_the_microphone_sends_24_khz_in_steps_of_100_ms(demo: DemoPage) -> None:
    """What is appended is PCM16 at 24 kHz, whatever the device's own rate."""
    sent: list[dict[str, str]] = []
    demo.page.on(
        "websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(json.loads(frame)))
    )
    demo.connect()
    demo.press("Talk")
    demo.expect_event("input_audio_buffer.append", times=5)

    chunks = [event["audio"] for event in sent if event["type"] == "input_audio_buffer.append"]
    assert {len(chunk) for chunk in chunks} == {2400 * 2 * 4 // 3}


@pytest.mark.parametrize(
    ("session_type", "speakers"),
    [
        pytest.param("Transcription", ["you"], id="transcription"),
        pytest.param("Translation", ["you", "translation"], id="translation"),
    ],
)
def test_the_other_session_types_listen(demo: DemoPage, session_type: str, speakers: list[str]) -> None:
    """What was said is written down, or translated; there is nothing to type into."""
    demo.choose(session_type)
    demo.connect()
    expect(demo.page.get_by_label("Message")).to_be_disabled()
    demo.press("Send a sound sample")

    for speaker in speakers:
        expect(demo.page.locator(f".entry[data-speaker={speaker}] p").first).to_have_text(re.compile(r"\w+"))


def test_each_event_unfolds_to_its_json_without_the_secret(demo: DemoPage) -> None:
    """The mint's answer can be read in the log; the secret in it is masked, there and everywhere else."""
    with demo.page.expect_response("**/token") as minted:
        demo.connect()
    secret = minted.value.json()["value"]
    entry = demo.expect_event("POST /token")
    entry.locator("summary").click()

    shown = json.loads(entry.locator("pre").inner_text())
    assert shown["value"] == f"{secret[:6]}…"
    assert shown["connection"]["protocols"][0] == "realtime"
    assert secret not in demo.page.content()


def test_the_seconds_left_on_the_secret_count_down(demo: DemoPage) -> None:
    """A secret lives for a minute; the session that it opened goes on."""
    demo.page.clock.install()
    demo.connect()
    card = demo.page.locator("#secret")
    expect(card).to_contain_text(re.compile(r"(60|59|58) s left on the secret"))
    demo.page.clock.fast_forward(30_000)
    expect(card).to_contain_text(re.compile(r"(30|29|28) s left on the secret"))
    expect(card).to_contain_text("It has opened its one session")


def test_a_refused_token_is_told_in_words(demo: DemoPage) -> None:
    """A forged JWT: what happened, what may be the cause, and the code to search the log for."""
    demo.provoke("Send a forged token")

    expect(demo.notice).to_contain_text("The service refused this token")
    expect(demo.notice).to_contain_text("401 invalid_token")
    expect(demo.status).to_have_text("Not connected")


def test_a_token_that_is_none_is_told_before_and_after(demo: DemoPage) -> None:
    """The page reads the JWT as it is typed; the service has the last word."""
    demo.page.get_by_label("Your token").fill("not a token")
    expect(demo.page.locator("#claims")).to_have_text("This is not a JWT: the service will refuse it.")
    demo.page.get_by_role("button", name="Connect", exact=True).click()
    expect(demo.notice).to_contain_text("The service refused this token")


def test_a_used_secret_is_told_in_words(demo: DemoPage) -> None:
    """A second session with the same secret is refused in-band."""
    demo.provoke("Use a secret twice")

    expect(demo.notice).to_contain_text("This secret has been used")
    expect(demo.notice).to_contain_text("ephemeral_token_already_used")


def test_an_expired_secret_is_told_in_words(demo: DemoPage) -> None:
    """The vendor says only that it does not know the secret; the page knows that its time is over."""
    demo.provoke("Let a secret expire")

    expect(demo.page.locator("#secret")).to_contain_text("It has expired")
    expect(demo.notice).to_contain_text("This secret has expired")


def test_a_rate_limit_is_told_in_words_and_counted_down(demo: DemoPage) -> None:
    """``Retry-After`` becomes a countdown; until its end the page does not ask again."""
    demo.page.clock.install()
    demo.provoke("Ask too often")
    expect(demo.notice).to_contain_text("Too many requests")
    expect(demo.notice).to_contain_text("429 rate_limit_exceeded")
    clock = demo.notice.get_by_role("timer")
    expect(clock).to_have_text(re.compile(r"Try again in \d+ s"))
    connect = demo.page.get_by_role("button", name="Connect", exact=True)
    expect(connect).to_have_attribute("aria-disabled", "true")
    first = clock.inner_text()

    demo.page.clock.run_for(2_000)
    expect(clock).not_to_have_text(first)
    demo.page.clock.fast_forward(3_600_000)
    expect(clock).to_have_text("You can try again now.")
    expect(connect).to_have_attribute("aria-disabled", "false")


def test_a_service_that_is_gone_is_told_in_words(demo: DemoPage) -> None:
    """No answer at all is told apart from a refusal."""
    demo.page.context.set_offline(offline=True)
    demo.page.get_by_role("button", name="Connect", exact=True).click()

    expect(demo.notice).to_contain_text("The service cannot be reached")


def test_the_page_works_by_keyboard_alone(demo: DemoPage) -> None:
    """From the token to the answer with Tab and Enter: the focus goes where the next step is."""
    keys = demo.page.keyboard
    demo.page.get_by_label("Your token").focus()
    for _ in range(5):
        keys.press("Tab")
    expect(demo.page.get_by_role("button", name="Connect", exact=True)).to_be_focused()
    keys.press("Enter")
    expect(demo.page.get_by_label("Message")).to_be_focused()
    keys.type("Hello")
    keys.press("Enter")

    demo.expect_event("response.done")
    expect(demo.answers).not_to_be_empty()


def test_the_page_fits_a_phone(demo: DemoPage) -> None:
    """Nothing is wider than the screen, with events and an answer on it."""
    demo.page.set_viewport_size({"width": 360, "height": 740})
    demo.connect()
    demo.say("A_word_without_any_end_" * 12)
    demo.expect_event("response.done").locator("summary").click()

    boxes = ["html", "#transcript", "#events"]
    too_wide = "(boxes) => boxes.filter((box) => document.querySelector(box).scrollWidth > innerWidth)"
    assert demo.page.evaluate(too_wide, boxes) == []


def test_the_chosen_theme_stays(demo: DemoPage) -> None:
    """The system's theme at first, then the visitor's choice, over a reload as well."""
    root = demo.page.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    demo.press("Dark")
    demo.page.reload()
    expect(root).to_have_attribute("data-theme", "dark")


def test_the_policy_keeps_everything_foreign_out(demo: DemoPage, demo_url: str) -> None:
    """No inline script or style, no other origin: the page was loaded under such a policy, and worked."""
    answer = demo.page.request.get(demo_url)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    origins = {
        urlsplit(request).netloc for request in re.findall(r'(?:src|href)="(\w+:[^"]+)"', answer.text())
    }
    assert origins == set()
