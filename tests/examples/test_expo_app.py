"""The Expo app's own code, used in Chromium: buttons of HTML in the place of a phone's, the browser's WebRTC, React."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import requests
from playwright.sync_api import expect

from tests.examples.test_apps import EXPO, REACT
from tests.support.browser import watched_tab
from tests.support.examples import Demo, build_with_vite, install_node_packages, running_origin
from tests.support.processes import wait_until
from tests.support.tools import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Route

FILES = {
    "index.html": '<link rel="icon" href="data:,"><div id="root"></div><script type="module" src="/main.jsx"></script>',
    "main.jsx": """
import { createRoot } from "react-dom/client";
import { App } from "./App";
createRoot(document.getElementById("root")).render(<App />);
""",
    "react-native.jsx": """
export const SafeAreaView = ({ children }) => <main>{children}</main>;
export const Button = ({ title, onPress, disabled }) => <button onClick={onPress} disabled={disabled}>{title}</button>;
export const Text = ({ accessibilityRole, children }) =>
  accessibilityRole === "header" ? <h1>{children}</h1> : <p>{children}</p>;
""",
    "webrtc.js": """
const { RTCPeerConnection, RTCSessionDescription } = globalThis;
const { mediaDevices } = navigator;
export { RTCPeerConnection, RTCSessionDescription, mediaDevices };
""",
    "vite.config.mjs": """
export default {
  esbuild: { jsx: "automatic" },
  define: {
    "process.env.EXPO_PUBLIC_TOKEN_SERVICE": "globalThis.tokenService",
    "process.env.EXPO_PUBLIC_JWT": "globalThis.jwt",
  },
  resolve: { alias: [
    { find: /^react-native$/, replacement: "/react-native.jsx" },
    { find: /^react-native-webrtc$/, replacement: "/webrtc.js" },
  ] },
};
""",
}
"""What stands around the app's two files here, where a phone has its platform."""

WATCH = """
globalThis.tracks = [];
globalThis.peers = [];
globalThis.permission = Promise.withResolvers();
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  await permission.promise;
  const stream = await ask(wanted);
  tracks.push(...stream.getTracks());
  return stream;
};
globalThis.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(configuration) {
    super(configuration);
    peers.push(this);
  }
};
"""
"""Has the microphone wait for a permission; keeps its tracks, and the connections."""


@pytest.fixture(scope="module")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app, built by the React example's Vite."""
    require("node", "npm", "chromium")
    install_node_packages(REACT)
    folder = tmp_path_factory.mktemp("expo")
    for name in ("App.tsx", "call.ts"):
        shutil.copy(EXPO / name, folder)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    build_with_vite(folder, REACT)
    with running_origin(folder / "dist") as origin:
        yield origin


class Phone:
    """The app in a tab, of a user of its own."""

    def __init__(self, page: Page, demo: Demo, app_url: str) -> None:
        self.page = page
        self.calls_url = f"{demo.url}/calls"
        self.jwt = demo.visitor()
        given = {"tokenService": demo.url, "jwt": self.jwt}
        page.add_init_script(f"Object.assign(globalThis, {json.dumps(given)}); {WATCH}")
        page.clock.install()
        page.goto(app_url)

    @property
    def state(self) -> Locator:
        return self.page.get_by_role("heading")

    @property
    def said(self) -> Locator:
        return self.page.locator("p")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).click()

    def allow_microphone(self) -> None:
        self.page.evaluate("permission.resolve()")

    def open_calls(self) -> list[str]:
        """Return the ids of the user's calls that nobody has ended."""
        headers = {"Authorization": f"Bearer {self.jwt}"}
        calls = requests.get(self.calls_url, headers=headers, timeout=10).json()["calls"]
        return [call["id"] for call in calls if call["state"] == "open"]

    def expect_all_ended(self, *, microphones: int = 1) -> None:
        """Wait until nothing is left: no microphone that is on, no call that is paid for."""
        self.page.wait_for_function(
            "(count) => tracks.length === count && tracks.every((track) => track.readyState === 'ended')",
            arg=microphones,
        )
        wait_until(lambda: self.open_calls() == [], seconds=10, what="the end of the calls")


@pytest.fixture
def phone(chromium: Browser, plain_demo: Demo, app_url: str) -> Iterator[Phone]:
    with watched_tab(chromium) as page:
        yield Phone(page, plain_demo, app_url)


def test_it_talks_and_ends_what_it_began(phone: Phone) -> None:
    phone.allow_microphone()
    phone.press("Call")
    expect(phone.state).to_have_text("talking")
    expect(phone.said).to_have_text(re.compile(r"\w+( \w+)+"))
    assert len(phone.open_calls()) == 1
    phone.press("End")
    expect(phone.state).to_have_text("idle")
    phone.expect_all_ended()


def test_a_microphone_that_is_allowed_after_the_end_is_given_back(phone: Phone) -> None:
    """Nothing is asked of the service."""
    asked: list[str] = []
    phone.page.on("request", lambda request: asked.append(request.url))
    phone.press("Call")
    phone.press("End")
    expect(phone.state).to_have_text("idle")
    phone.allow_microphone()
    phone.expect_all_ended()
    expect(phone.said).to_be_empty()
    assert asked == []


def test_a_call_that_was_opened_after_the_end_is_ended(phone: Phone) -> None:
    """The service's answer was on its way; without the second request the call would be paid for to its deadline."""
    held: list[Route] = []
    phone.page.route("**/calls", lambda route: held.append(route))  # noqa: PLW0108 - it is inspected
    phone.allow_microphone()
    with phone.page.expect_request("**/calls"):
        phone.press("Call")
    phone.press("End")
    expect(phone.state).to_have_text("idle")
    with phone.page.expect_response(lambda answer: answer.request.method == "DELETE") as ended:
        held[0].continue_()
    assert ended.value.status == 204
    phone.expect_all_ended()
    expect(phone.said).to_be_empty()


def break_connection(route: Route) -> None:
    """Let the service open the call, and answer with what no connection can be made by."""
    answer = route.fetch()
    opened = answer.json()
    opened["sdp"] = re.sub(r"a=ice-pwd:.*", "a=ice-pwd:" + "x" * 24, opened["sdp"])
    route.fulfill(response=answer, json=opened)


def test_a_call_that_was_ended_while_it_connected_leaves_the_next_one_alone(phone: Phone) -> None:
    """The time that a connection may take passes for it no longer."""
    phone.page.route("**/calls", break_connection, times=1)
    phone.allow_microphone()
    phone.press("Call")
    phone.page.wait_for_function("() => peers[0]?.remoteDescription")
    phone.press("End")
    expect(phone.state).to_have_text("idle")
    phone.press("Call")
    expect(phone.state).to_have_text("talking")
    phone.page.clock.fast_forward(11_000)
    phone.page.evaluate("new Promise((resolve) => setTimeout(resolve))")
    expect(phone.state).to_have_text("talking")
    expect(phone.said).not_to_contain_text("did not connect")
    phone.press("End")
    expect(phone.state).to_have_text("idle")
    phone.expect_all_ended(microphones=2)


def test_a_call_that_cannot_be_connected_is_ended_and_told(phone: Phone) -> None:
    """It counts, and costs, all the same."""
    phone.page.route("**/calls", break_connection, times=1)
    phone.allow_microphone()
    phone.press("Call")
    phone.page.wait_for_function("() => peers[0]?.signalingState === 'stable' && peers[0].remoteDescription")
    assert len(phone.open_calls()) == 1
    phone.page.clock.fast_forward(11_000)
    expect(phone.said).to_have_text("The call did not connect.")
    expect(phone.state).to_have_text("idle")
    phone.expect_all_ended()


def test_a_refusal_is_told_in_the_services_words(phone: Phone) -> None:
    phone.page.evaluate("globalThis.jwt = 'nobody'")
    phone.allow_microphone()
    phone.press("Call")
    expect(phone.said).to_contain_text("(invalid_token)")
    expect(phone.state).to_have_text("idle")
    phone.expect_all_ended()
