"""What the page's "Use it in your app" gives to copy, run in a shell, an interpreter, a page and a React app."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from playwright.sync_api import expect

from tests.examples.test_apps import REACT
from tests.support.browser import DemoPage, watched_tab
from tests.support.examples import Demo, build_with_vite, install_node_packages, python, run, running_origin
from tests.support.offers import OFFER
from tests.support.processes import ROOT, bare_environ, wait_until
from tests.support.tools import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SECRETS = ["websocket", "Transcription", "Translation", "webrtc"]
CALLS = ["call", "live"]
ACCESSES = ["websocket", "webrtc", "call", "live"]
LANGUAGES = ["curl", "Browser", "React", "Python"]

SIGN_IN = '/* from your identity provider */ ""'
"""What an app's author replaces, in the code for browsers."""

MAIN = """
import { createRoot } from "react-dom/client";
import { useRealtime as useWebSocket } from "./websocket.jsx";
import { useRealtime as useWebRTC } from "./webrtc.jsx";
import { CallButton as Call } from "./call.jsx";
import { CallButton as LiveCall } from "./live.jsx";

const { access, jwt } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const getJwt = async () => jwt;
const Events = ({ use }) => <p>{use(getJwt).map((event) => event.type).join(" ")}</p>;
const shown = {
  websocket: <Events use={useWebSocket} />,
  webrtc: <Events use={useWebRTC} />,
  call: <Call getJwt={getJwt} />,
  live: <LiveCall getJwt={getJwt} />,
};
globalThis.root = createRoot(document.getElementById("root"));
root.render(shown[access]);
"""
"""An app around the code for React."""

INDEX = '<!doctype html><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="{}"></script>'


@pytest.fixture(scope="module")
def copied(plain_demo: Demo, chromium: Browser) -> Mapping[tuple[str, str], str]:
    """What the page gives to copy, by what was chosen and the language; each language's JWT is a user's of its own."""
    found = {}
    page = chromium.new_page()
    demo = DemoPage(page)
    for language in LANGUAGES:
        page.goto(f"{plain_demo.url}/demo")
        demo.show("Use it in your app")
        demo.show(language)
        for choice in [*SECRETS, *CALLS]:
            if choice.istitle():
                demo.choose(choice)
            else:
                demo.choose_access(choice)
            found[choice, language] = page.locator("#code").text_content() or ""
    page.context.close()
    return found


@pytest.mark.parametrize("choice", [*SECRETS, *CALLS])
def test_curl(choice: str, copied: Mapping[tuple[str, str], str]) -> None:
    """It brings the secret; or the call, with an offer in its place: curl has none of its own."""
    require("curl")
    code = copied[choice, "curl"]
    if choice in CALLS:
        assert '"v=0…"' in code
        code = code.replace('"v=0…"', json.dumps(OFFER))
    answer = json.loads(run(("sh", "-s"), code, bare_environ()))
    assert answer["call"]["state"] == "open" if choice in CALLS else answer["value"].startswith("ek_")


@pytest.mark.parametrize("choice", [*SECRETS, *CALLS])
def test_python(choice: str, copied: Mapping[tuple[str, str], str], plain_demo: Demo) -> None:
    """It prints where to connect; or opens a call, prints its events, and ends it."""
    printed = python(copied[choice, "Python"], plain_demo.environ())
    if choice not in CALLS:
        assert printed.startswith(plain_demo.sandbox_url.replace("http", "ws", 1))
        return
    assert json.loads(printed.splitlines()[0])["type"] in {"session.created", "session.started"}
    wait_until(partial(last_call_is_over, plain_demo), seconds=10, what="the end of the call")


def last_call_is_over(demo: Demo) -> bool:
    """Return whether the newest call at the sandbox has ended; the service ends it after it has answered."""
    answer = requests.get(f"{demo.sandbox_url.removesuffix('/v1')}/sandbox/calls", timeout=10)
    return bool(answer.json()["calls"][-1]["state"] == "ended")


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    """A tab for all of an app's pages; fails the last test where the browser complains of anything."""
    with watched_tab(chromium) as page:
        yield page


def write_app(folder: Path, code: Mapping[str, str], *, script: str) -> None:
    """Write an app that has a copy of the module, as its page says."""
    shutil.copy(ROOT / "service" / "static" / "realtime.js", folder)
    (folder / "index.html").write_text(INDEX.format(script))
    for name, text in code.items():
        (folder / name).write_text(text)


@pytest.mark.parametrize("choice", ACCESSES)
def test_browser(
    choice: str, copied: Mapping[tuple[str, str], str], plain_demo: Demo, page: Page, tmp_path: Path
) -> None:
    """On an origin of its own, it logs the session's events, or the time that is left."""
    code = copied[choice, "Browser"]
    assert SIGN_IN in code
    code = code.replace(SIGN_IN, json.dumps(plain_demo.visitor()))
    write_app(tmp_path, {"app.js": code}, script="./app.js")
    told = {"websocket": "response.done", "webrtc": "session.created"}.get(choice, "s left")
    with (
        running_origin(tmp_path) as origin,
        page.expect_console_message(lambda message: told in message.text),
    ):
        page.goto(origin)
    page.goto("about:blank")


@pytest.fixture(scope="module")
def react_app(
    copied: Mapping[tuple[str, str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """All that is copied for React in one app, built by the example app's Vite; its origin."""
    require("node", "npm")
    install_node_packages(REACT)
    folder = tmp_path_factory.mktemp("react")
    code = {f"{choice}.jsx": copied[choice, "React"] for choice in ACCESSES}
    write_app(folder, {**code, "main.jsx": MAIN}, script="/main.jsx")
    build_with_vite(folder, REACT, "--config", str(REACT / "vite.config.ts"))
    with running_origin(folder / "dist") as origin:
        yield origin


@pytest.mark.parametrize("choice", ACCESSES)
def test_react(choice: str, react_app: str, plain_demo: Demo, page: Page) -> None:
    """The hook hears the session; the button opens a call, tells the time that is left, and ends it."""
    page.goto(f"{react_app}/?{choice}#access={choice}&jwt={plain_demo.visitor()}")
    if choice in CALLS:
        page.get_by_role("button", name="Call").click()
        page.get_by_role("button", name="s left").click()
        expect(page.get_by_role("button", name="Call")).to_be_visible()
    else:
        expect(page.locator("p")).to_contain_text("session.created")
    page.goto("about:blank")


def test_a_button_for_react_that_is_removed_leaves_no_call_behind(
    react_app: str, plain_demo: Demo, page: Page
) -> None:
    """Nobody could end it, and it would be paid for to its deadline."""
    page.goto(f"{react_app}/?removed#access=call&jwt={plain_demo.visitor()}")
    page.get_by_role("button", name="Call").click()
    expect(page.get_by_role("button", name="s left")).to_be_visible()
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as ended:
        page.evaluate("root.unmount()")
    assert ended.value.status == 204
    page.goto("about:blank")
