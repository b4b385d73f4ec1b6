"""A page of Chromium that speaks WebRTC: its microphone says a WAV file, and it knows how to listen and to wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.browser import CHROMIUM, FLAGS, PATIENCE_MS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# What the pages of these tests share: a connection, the events it got, and how loud the answer's track is.
PRELUDE = """() => {
globalThis.events = [];
globalThis.until = async (kind, seconds = 15) => {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = events.find((event) => event.type === kind && !event.taken);
    if (found) { found.taken = true; return found; }
    if (Date.now() > end) throw new Error(`no ${kind}; there were ${events.map((event) => event.type)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};
globalThis.microphone = () => navigator.mediaDevices.getUserMedia({ audio: {
  echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
globalThis.listenTo = (peer) => peer.addEventListener("track", ({ streams: [stream] }) => {
  const player = new Audio();
  player.srcObject = stream;
  player.play();
});
globalThis.energyOf = async (peer) => {
  for (const report of (await peer.getStats()).values())
    if (report.type === "inbound-rtp" && report.kind === "audio") return report.totalAudioEnergy ?? 0;
  return 0;
};
}"""


@contextmanager
def page_with_microphone(chromium: Browser, origin: str, speech: Path) -> Iterator[Page]:
    """Open a page of ``origin`` in a browser of its own, whose microphone hears ``speech`` once."""
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={speech}%noloop"]
    browser = chromium.browser_type.launch(executable_path=CHROMIUM, headless=True, args=flags)
    tab = browser.new_context(bypass_csp=True).new_page()  # the service's own policy is tested elsewhere
    tab.set_default_timeout(PATIENCE_MS)
    tab.goto(f"{origin}/package.json")
    tab.evaluate(PRELUDE)
    yield tab
    browser.close()
