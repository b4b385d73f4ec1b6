"""The demo page as a visitor uses it, in Debian's Chromium."""

from __future__ import annotations

import re
import shutil
import wave
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.support.tools import require

CHROMIUM = shutil.which("chromium") or "chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    # Addresses instead of .local names, which are asked for by multicast.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)
# Refusals and a lost service, which the browser reports as failed loads, are what many tests are about.
_EXPECTED_ON_THE_CONSOLE = re.compile(
    r"Failed to load resource: (the server responded with a status of \d+|net::ERR_\w+)"
)


# Playwright's own 5 s are short for two cores that also run the servers.
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def running_chromium(microphone: Path) -> Iterator[Browser]:
    """Run a headless Chromium with a fresh profile, that hears a WAV file over and over as its microphone."""
    require("chromium")
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=flags)
        yield browser
        browser.close()


def write_speech(path: Path) -> None:
    """Write one and a half seconds of a loud tone and as long a silence, which a voice detector hears as a turn."""
    rate, seconds = 48_000, 1.5
    period = rate // 200
    tone = b"".join(
        (12_000 if sample % period < period // 2 else -12_000).to_bytes(2, "little", signed=True)
        for sample in range(int(rate * seconds))
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(tone + bytes(len(tone)))


def listen_for_problems(page: Page) -> list[str]:
    """Collect what goes wrong in a page: errors on the console, blocked content, uncaught exceptions."""
    problems: list[str] = []

    def on_console(message: Any) -> None:
        if message.type in {"error", "warning"} and not _EXPECTED_ON_THE_CONSOLE.match(message.text):
            problems.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(str(error)))
    return problems


@contextmanager
def watched_tab(chromium: Browser) -> Iterator[Page]:
    """Open a tab with a microphone; the end of the block fails where the browser complained of anything."""
    context = chromium.new_context(permissions=["microphone"])
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    problems = listen_for_problems(page)
    yield page
    context.close()
    assert problems == [], problems  # pytest explains the asserts of test modules only


WIDTHS = (1440, 768, 390)
"""Pixels of a desk's, a tablet's and a phone's screen."""

LOOKS: dict[str, Any] = {
    "light": {"color_scheme": "light", "forced_colors": "none"},
    "dark": {"color_scheme": "dark", "forced_colors": "none"},
    "forced colours": {"color_scheme": "dark", "forced_colors": "active"},
}
"""How the system may have pages shown, as ``Page.emulate_media`` takes it."""


_ALL: dict[str, Any] = {"resultTypes": ["violations"]}  # half the time on a long page
_COLOURS = _ALL | {"runOnly": ["color-contrast", "link-in-text-block"]}
"""Options of axe-core: all rules, or those that judge colours alone."""


def findings(
    page: Page, *, widths: Collection[int] = WIDTHS, looks: Collection[str] = tuple(LOOKS)
) -> list[str]:
    """List what axe-core finds wrong with a page as it stands, and where it is wider than the screen.

    It is resized and shown in other colours in place, so that its state stays. At each width the first of the looks
    is judged by all rules, the others by those of colours.
    """
    axe = Axe()
    found = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{width}: wider than the screen")
        for rank, look in enumerate(looks):
            page.emulate_media(**LOOKS[look])
            rules = axe.run(page, options=_COLOURS if rank else _ALL).response["violations"]
            found += [
                f"{width}, {look}, {rule['id']}: {node['target']}" for rule in rules for node in rule["nodes"]
            ]
    return found


@dataclass
class DemoPage:
    """The demo page; its methods are what a visitor does."""

    page: Page
    problems: list[str] = field(default_factory=list)

    @property
    def answers(self) -> Locator:
        return self.page.locator(".entry[data-speaker=answer] p")

    @property
    def own_words(self) -> Locator:
        return self.page.locator(".entry[data-speaker=you] p")

    @property
    def notice(self) -> Locator:
        return self.page.get_by_role("alert")

    @property
    def status(self) -> Locator:
        return self.page.locator("#status")

    @property
    def log(self) -> Locator:
        return self.page.locator("#events")

    @property
    def time_left(self) -> Locator:
        return self.page.locator("#time-left")

    def step(self, name: str) -> Locator:
        """One step of the request: ``jwt``, ``policy``, ``limit``, ``vendor``, ``grant`` or ``session``."""
        return self.page.locator(f"#pipeline [data-step={name}]")

    @property
    def steps(self) -> list[str]:
        """How far the request came: the state of each step."""
        states: list[str] = self.page.locator("#pipeline > li").evaluate_all(
            "items => items.map((item) => item.dataset.state)"
        )
        return states

    @property
    def audio_bytes(self) -> int:
        figure = self.page.locator("#audio-bytes").inner_text().split()[0]
        return int(figure.replace(",", "")) if figure[0].isdigit() else 0

    def choose(self, label: str) -> None:
        """Choose one of the session types or kinds of answer."""
        self.page.get_by_text(label, exact=True).click()

    def choose_access(self, access: str) -> None:
        """Choose how to connect: ``websocket``, ``webrtc``, ``call`` or ``live``."""
        self.page.locator(f".access-list label:has(input[value={access}])").click()

    def connect(self, access: str | None = None) -> None:
        if access:
            self.choose_access(access)
        self.page.get_by_role("button", name="Connect", exact=True).click()
        expect(self.status).to_have_text(re.compile("Connected|Listening…"))

    def show(self, view: str) -> None:
        """Show one of the views beside the transcript."""
        self.page.get_by_role("tab", name=view).click()

    def say(self, text: str) -> None:
        self.page.get_by_label("Message").fill(text)
        self.page.get_by_role("button", name="Send", exact=True).click()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).click()

    def provoke(self, name: str) -> None:
        """Bring about a refusal on purpose."""
        self.page.get_by_text("Try refused requests").click()
        self.press(name)

    def expect_event(self, name: str, *, times: int = 1) -> Locator:
        """Wait until the log holds an event at least ``times`` times, in one entry or several; give the first."""
        entries = self.page.locator(f'#events li[data-name="{name}"]')
        expect(entries.first).to_be_attached()
        self.page.wait_for_function(
            """([name, times]) => [...document.querySelectorAll("#events li")]
              .filter((item) => item.dataset.name === name)
              .reduce((sum, item) => sum + Number(item.dataset.count), 0) >= times""",
            arg=[name, times],
        )
        return entries.first
