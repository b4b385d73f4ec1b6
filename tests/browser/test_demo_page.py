"""The page by secret, as a visitor uses it: conversations, refusals, the log, the code."""

from __future__ import annotations

import json
import re
from functools import partial
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Route, WebSocketRoute, expect

from tests.support.browser import DemoPage
from tests.support.processes import wait_until

FULL_WAY = ["passed"] * 6


@pytest.mark.usefixtures("expiring")
def test_a_visitor_types_and_hears_an_answer(demo: DemoPage) -> None:
    """From the page's load to a spoken answer: transcript, audio, and every event on the way."""
    expect(demo.page.locator(".badge")).to_have_text(re.compile("Sandbox.*canned answers, no model"))
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
    """The vendor is told to stop, and how much of its answer was heard; Esc does what the button does."""
    demo.connect()
    for stop in (lambda: demo.press("Stop the answer"), lambda: demo.page.keyboard.press("Escape")):
        demo.page.get_by_role("button", name="Clear").click()
        demo.say("Tell me a long story, with many words in it, about everything that you have ever heard of.")
        demo.expect_event("response.output_audio.delta")
        stop()

        demo.expect_event("conversation.item.truncate")
        demo.expect_event("conversation.item.truncated")
        expect(demo.page.get_by_role("button", name="Stop the answer")).to_be_hidden()


def test_a_visitor_talks_and_is_answered(demo: DemoPage) -> None:
    """The microphone's audio is appended; the server hears the turn's end, transcribes it and answers."""
    demo.connect()
    demo.press("Talk")

    expect(demo.status).to_have_text("Listening…")
    demo.expect_event("input_audio_buffer.append", times=3)
    demo.expect_event("input_audio_buffer.speech_started")
    demo.expect_event("conversation.item.input_audio_transcription.completed")
    demo.expect_event("response.output_audio.delta")
    expect(demo.own_words.first).not_to_be_empty()
    demo.press("Stop talking")
    expect(demo.page.get_by_role("button", name="Talk", exact=True)).to_be_visible()
    expect(demo.status).to_have_text("Connected")


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
    demo.press("Send a sound")

    for speaker in speakers:
        expect(demo.page.locator(f".entry[data-speaker={speaker}] p").first).to_have_text(re.compile(r"\w+"))


def test_the_pipeline_tells_what_each_step_made_of_a_mint(demo: DemoPage) -> None:
    """The JWT's claims, what became of the settings, the quota that is left, durations, and the session itself."""
    demo.connect()

    expect(demo.step("jwt")).to_contain_text(re.compile(r"demo-\w{6}"))
    expect(demo.step("jwt")).to_contain_text(re.compile(r"Valid for\s*(60:00|59:5\d) min"))
    expect(demo.step("policy")).to_contain_text(
        re.compile(r"gpt-realtime-2\.1[^\0]*Filled in\s*\d+ settings")
    )
    expect(demo.step("limit")).to_contain_text("9 of 10 requests left")
    expect(demo.step("vendor")).to_contain_text(re.compile(r"\d+ ms"))
    expect(demo.step("grant")).to_contain_text("Used: its session runs")
    expect(demo.step("session")).to_contain_text(re.compile(r"Open for 0:\d\d[^\0]*sess_"))
    assert demo.steps == FULL_WAY

    demo.press("Disconnect")
    expect(demo.step("session")).to_contain_text(re.compile(r"Ended after 0:\d\d"))


def test_each_event_unfolds_to_its_json_without_the_secret(demo: DemoPage) -> None:
    """The mint's answer can be read in the log; the secret in it is masked, there and everywhere else."""
    with demo.page.expect_response("**/token") as minted:
        demo.connect()
    secret = minted.value.json()["value"]
    entry = demo.expect_event("POST /token")
    entry.get_by_role("button").click()

    shown = json.loads(entry.locator("pre").inner_text())
    assert shown["value"] == f"{secret[:6]}…"
    assert shown["connection"]["protocols"][0] == "realtime"
    assert secret not in demo.page.content()


def test_the_log_tells_durations_groups_runs_and_filters(demo: DemoPage) -> None:
    """A request has its status and milliseconds; deltas are one entry; a word leaves only what holds it."""
    demo.connect()
    demo.say("Hello there, how are you today?")
    demo.expect_event("response.done")

    expect(demo.expect_event("POST /token")).to_contain_text(re.compile(r"200 · \d+ ms"))
    run = demo.expect_event("response.output_audio.delta", times=2)
    expect(run).to_contain_text(re.compile(r"\u00d7 \d+"))
    run.get_by_role("button").click()
    assert "bytes of audio)" in run.locator("pre").inner_text()

    demo.page.get_by_label("Filter events by name").fill("Audio.delta")
    expect(demo.page.locator("#events li:visible")).to_have_count(1)


@pytest.mark.parametrize(
    ("trial", "step", "title", "code"),
    [
        pytest.param(
            "Send a forged token", 0, "The service refused this token", "401 invalid_token", id="jwt"
        ),
        pytest.param("Ask for a model", 1, "This model is not allowed", "403 model_not_allowed", id="policy"),
        pytest.param("Ask too often", 2, "Too many requests", "429 rate_limit_exceeded", id="limit"),
        pytest.param(
            "Use a secret twice", 5, "This secret has been used", "ephemeral_token_already_used", id="session"
        ),
    ],
)
def test_a_refusal_stops_at_its_step_in_words(
    demo: DemoPage, trial: str, step: int, title: str, code: str
) -> None:
    """What happened, how to fix it, and the code to search the log for; steps behind it were not reached."""
    demo.provoke(trial)
    expect_refusal(demo, step, title, code)


def expect_refusal(demo: DemoPage, step: int, title: str, code: str) -> None:
    expect(demo.notice).to_contain_text(title)
    expect(demo.notice).to_contain_text(code)
    expect(demo.notice.locator(".fix")).not_to_be_empty()
    assert demo.steps == ["passed"] * step + ["refused"] + ["idle"] * (5 - step)
    expect(demo.page.locator("#pipeline [data-state=refused]")).to_contain_text(title)
    expect(demo.status).to_have_text("Not connected")


def test_what_the_service_says_of_others_is_told_at_their_step(demo: DemoPage) -> None:
    """A fault of the vendor or of the storage is not put down to the caller."""
    answers: list[tuple[int, str, str]] = [
        (502, "upstream_rejected_credentials", "vendor"),
        (503, "upstream_quota_exhausted", "vendor"),
        (503, "upstream_unavailable", "vendor"),
        (503, "rate_limit_storage_unavailable", "limit"),
        (403, "session_type_not_allowed", "policy"),
    ]
    for status, code, step in answers:
        body = {"error": {"message": "Said so.", "type": "x", "param": None, "code": code}}
        demo.page.unroute_all()
        demo.page.route("**/token", partial(Route.fulfill, status=status, json=body))
        demo.page.get_by_role("button", name="Connect", exact=True).click()
        expect(demo.notice).to_contain_text(f"{status} {code}")
        expect(demo.step(step)).to_have_attribute("data-state", "refused")


def test_asking_too_often_locks_out_another_user_and_not_the_visitor(demo: DemoPage) -> None:
    """``Retry-After`` is counted down for the user of the trial; the visitor connects at once."""
    demo.provoke("Ask too often")
    expect(demo.notice.get_by_role("timer")).to_contain_text("Try again in")
    demo.connect()


def test_a_rate_limit_of_ones_own_is_counted_down(demo: DemoPage) -> None:
    """Until ``Retry-After`` has passed, the page does not ask again."""
    error = {"message": "Too many requests.", "type": "x", "param": None, "code": "rate_limit_exceeded"}
    demo.page.route(
        "**/token",
        lambda route: route.fulfill(status=429, json={"error": error}, headers={"Retry-After": "30"}),
    )
    demo.page.clock.install()
    connect = demo.page.get_by_role("button", name="Connect", exact=True)
    connect.click()
    clock = demo.notice.get_by_role("timer")
    expect(clock).to_have_text(re.compile(r"Try again in \d+ s"))
    expect(connect).to_have_attribute("aria-disabled", "true")
    first = clock.inner_text()

    demo.page.clock.run_for(2_000)
    expect(clock).not_to_have_text(first)
    demo.page.clock.fast_forward(60_000)
    expect(clock).to_have_text("You can try again now.")
    expect(connect).to_have_attribute("aria-disabled", "false")


def test_a_token_that_is_none_is_told_before_and_after(demo: DemoPage) -> None:
    """The page reads the JWT as it is typed; the service has the last word; signing in again fixes it."""
    demo.page.get_by_text("Your token:").click()
    demo.page.get_by_label("Your token").fill("not a token")
    expect(demo.page.locator("#claims")).to_have_text("no JWT, so the service will refuse it")
    demo.page.get_by_role("button", name="Connect", exact=True).click()
    expect(demo.notice).to_contain_text("The service refused this token")
    demo.press("Sign in as somebody new")
    expect(demo.page.locator("#claims")).to_have_text(re.compile(r"demo-\w{6}, 60 min left"))
    demo.connect()


def test_a_service_that_is_gone_is_told_in_words(demo: DemoPage) -> None:
    """No answer at all is told apart from a refusal."""
    demo.page.context.set_offline(offline=True)
    demo.page.get_by_role("button", name="Connect", exact=True).click()

    expect(demo.notice).to_contain_text("The service cannot be reached")


@pytest.mark.parametrize("complains", [True, False], ids=["after its own error", "without a word"])
def test_the_end_of_a_server_is_told_once(demo: DemoPage, *, complains: bool) -> None:
    """One alert, whether the vendor says why it closes or not; and the page can connect again."""

    def serve(socket: WebSocketRoute) -> None:
        socket.send(json.dumps({"type": "session.created", "session": {"id": "sess_1"}}))
        if complains:
            error = {"type": "server_error", "code": "going_away", "message": "The server goes away."}
            socket.send(json.dumps({"type": "error", "error": error}))
        socket.close(code=4999, reason="server_error.going_away")

    demo.page.evaluate("""() => {
      globalThis.alerts = [];
      const box = document.querySelector("[role=alert]");
      new MutationObserver(() => box.hidden || alerts.push(box.innerText)).observe(box, { attributes: true });
    }""")
    demo.page.route_web_socket(re.compile(r"/v1/realtime"), serve)
    demo.page.get_by_role("button", name="Connect", exact=True).click()
    expect(demo.notice).to_contain_text("The server goes away." if complains else "going_away")
    expect(demo.status).to_have_text("Not connected")
    demo.page.wait_for_timeout(200)
    assert len(demo.page.evaluate("alerts")) == 1


def test_reduced_motion_keeps_everything_still(demo: DemoPage) -> None:
    """No animation runs, and the meters say how loud it is without moving along."""
    demo.page.emulate_media(reduced_motion="reduce")
    demo.connect()
    demo.press("Talk")
    demo.expect_event("input_audio_buffer.append", times=12)
    assert demo.page.evaluate("document.getAnimations().length") == 0
    level = demo.page.get_by_role("meter", name="You")
    expect(level).not_to_have_attribute("aria-valuenow", "0")


def test_a_double_click_connects_once(demo: DemoPage) -> None:
    """Its second click does not take back the first."""
    sockets: list[str] = []
    demo.page.on("websocket", lambda socket: sockets.append(socket.url))
    demo.page.get_by_role("button", name="Connect", exact=True).dblclick()
    expect(demo.status).to_have_text("Connected")
    assert len(sockets) == 1


def test_the_current_settings_are_code_to_copy(demo: DemoPage) -> None:
    """What is chosen, as an app would ask for it; copied with one press."""
    wanted = [
        ("websocket", "curl", ["curl -sS", "/token", '"model":"gpt-realtime-2.1"']),
        ("websocket", "Browser", ['import { connect, requestToken } from "./realtime.js"', 'voice: "marin"']),
        ("websocket", "React", ["useEffect", "connect(", 'model: "gpt-realtime-2.1"']),
        ("websocket", "Python", ["requests.post", '"model": "gpt-realtime-2.1"']),
        ("webrtc", "Browser", ["connectWebRTC(peer"]),
        ("live", "Browser", ['import { startCall } from "./realtime.js"', 'model: "gpt-live-1.1"']),
        ("live", "React", ["startCall(", "setLeft"]),
        ("webrtc", "React", ["connectWebRTC(peer"]),
        ("call", "Python", ['/calls"', '"sdp": peer.localDescription.sdp']),
    ]
    demo.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    demo.show("Use it in your app")
    for access, language, words in wanted:
        demo.choose_access(access)
        demo.show(language)
        demo.page.locator("#copy-snippet").click()
        copied = demo.page.evaluate("navigator.clipboard.readText()")
        assert [word for word in words if word not in copied] == [], (access, language)
    demo.page.get_by_role("link", name="More examples").click()
    expect(demo.page.get_by_role("heading", level=1)).to_have_text("Clients")


def test_a_phone_shows_the_transcript_first_with_status_and_disconnect_at_hand(demo: DemoPage) -> None:
    """Nothing is wider than the screen, with events and an answer on it; the bar stays while one scrolls."""
    demo.page.set_viewport_size({"width": 360, "height": 740})
    demo.connect()
    demo.say("A_word_without_any_end_" * 12)
    demo.expect_event("response.done").get_by_role("button").click()

    boxes = ["html", "#transcript", "#events"]
    too_wide = "(boxes) => boxes.filter((box) => document.querySelector(box).scrollWidth > innerWidth)"
    assert demo.page.evaluate(too_wide, boxes) == []
    demo.page.locator("#pipeline").scroll_into_view_if_needed()
    expect(demo.page.get_by_role("button", name="Disconnect")).to_be_in_viewport()
    expect(demo.status).to_be_in_viewport()
    expect(demo.page.get_by_label("Your token")).to_be_hidden()
    order = ["#conversation", ".steps", ".setup", ".side"]
    tops = demo.page.evaluate("(order) => order.map((one) => document.querySelector(one).offsetTop)", order)
    assert tops == sorted(tops)


def test_the_newest_words_stay_in_sight_until_the_reader_scrolls_back(demo: DemoPage) -> None:
    """With more than one screen of them, also where the screen becomes another."""
    transcript = demo.page.locator("#transcript")
    hidden = "list => list.scrollHeight - list.scrollTop - list.clientHeight"
    demo.choose("Written")
    demo.connect()
    for turn in (1, 2):
        demo.say("A long story. " * 60)
        demo.expect_event("response.done", times=turn)
        assert transcript.evaluate(hidden) < 40
    demo.page.set_viewport_size({"width": 390, "height": 844})
    wait_until(lambda: transcript.evaluate(hidden) < 40, seconds=5, what="the way to the end")
    transcript.evaluate("list => new Promise((done) => { list.onscroll = done; list.scrollTop = 0; })")
    demo.say("And another.")
    demo.expect_event("response.done", times=3)
    assert transcript.evaluate("list => list.scrollTop") == 0


def test_the_columns_follow_the_width(demo: DemoPage) -> None:
    """One on a phone, two on a tablet, three on a desk."""
    for width, columns in ((390, 1), (768, 2), (1440, 3)):
        demo.page.set_viewport_size({"width": width, "height": 900})
        laid_out = demo.page.evaluate("getComputedStyle(document.querySelector('main')).gridTemplateColumns")
        assert len(laid_out.split()) == columns, width


def test_the_meters_are_as_sharp_as_the_screen(demo: DemoPage) -> None:
    """A canvas has a pixel for each of the screen's."""
    sizes = demo.page.evaluate(
        "[...document.querySelectorAll('canvas')].map((one) => one.width / one.clientWidth / devicePixelRatio)"
    )
    assert sizes == [pytest.approx(1, abs=0.02)] * 2


def test_forced_colours_show_what_is_chosen(demo: DemoPage) -> None:
    """The system's own colours replace ours: what is chosen still differs from the others."""
    demo.page.emulate_media(forced_colors="active")
    for kind in ("access", "type"):
        colours = demo.page.evaluate(
            "(kind) => [...document.querySelectorAll(`[name=${kind}] + span`)]"
            ".map((one) => getComputedStyle(one).backgroundColor)",
            kind,
        )
        assert colours.count(colours[0]) == 1


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


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/jwt")])
def test_what_the_page_is_given_is_kept_from_other_origins(demo_url: str, method: str, path: str) -> None:
    """A page of another port could otherwise read the admin's token, or sign in."""
    headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:5173"}
    answer = requests.request(method, f"{demo_url}{path}", headers=headers, timeout=10)
    assert answer.status_code == 403
    assert "eyJ" not in answer.text


def test_a_secret_that_is_never_used_says_that_it_expired(expiring: DemoPage) -> None:
    """Its seconds have counted down since the first test of this file; the vendor then refuses it."""
    expect(expiring.step("grant")).to_contain_text("Expired unused")
    expect_refusal(expiring, 5, "This secret has expired", "invalid_api_key")
