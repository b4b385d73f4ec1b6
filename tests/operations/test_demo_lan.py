"""``demo --lan`` from a second machine: a network namespace of its own stands in for a phone."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import CHROMIUM, FLAGS, PATIENCE_MS
from tests.support.demo import PrintedDemo, printed_demo
from tests.support.tools import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

ANSWER = re.compile(r"\w+( \w+)+")


@dataclass
class Phone:
    """A machine with an address and a network card of its own, whose only way leads to this one."""

    name: str

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def phone() -> Iterator[Phone]:
    """A namespace, joined to this machine by a pair of virtual cards, in a network for tests (RFC 2544)."""
    require("ip")
    name = f"phone-{secrets.token_hex(2)}"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as refused:
        # CI may make one: as root, in a container that has the capability CAP_SYS_ADMIN.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no network namespace: {refused.stderr}")
    network = f"198.18.{secrets.randbelow(256)}"
    outer, inner = f"{name[-4:]}-out", f"{name[-4:]}-in"
    try:
        ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        ip("address", "add", f"{network}.1/24", "dev", outer)
        ip("link", "set", outer, "up")
        for arguments in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{network}.2/24", "dev", inner),
            ("link", "set", inner, "up"),
            ("route", "add", "default", "via", f"{network}.1"),
        ):
            ip("-n", name, *arguments)
        yield Phone(name)
    finally:
        ip("netns", "delete", name)  # its end of the pair goes, and with it ours


@pytest.fixture(scope="module")
def demo(phone: Phone) -> Iterator[PrintedDemo]:  # noqa: ARG001 - its network is there before the demo looks
    """The demo on the network, with TLS."""
    with printed_demo("--lan") as demo:
        yield demo


def curl(phone: Phone, *arguments: str) -> str:
    """Ask from the phone."""
    require("curl")
    done = subprocess.run(
        (*phone.prefix, "curl", "--silent", "--show-error", "--max-time", "20", *arguments),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_phone_opens_the_page_by_the_printed_address(demo: PrintedDemo, phone: Phone) -> None:
    """Its certificate names the address; the QR code stands below the address."""
    assert demo.page.startswith("https://")
    assert "127.0.0.1" not in demo.page
    assert "<html" in curl(phone, "--cacert", demo.exports["SSL_CERT_FILE"], demo.page)
    assert "\N{LOWER HALF BLOCK}" in demo.run.output


def test_page_service_and_sandbox_are_one_origin(demo: PrintedDemo, phone: Phone) -> None:
    """So that a certificate which the phone accepted once is enough, and nothing else listens on the network."""
    assert demo.exports["OPENAI_BASE_URL"].startswith(demo.exports["TOKEN_SERVICE"] + "/")
    done = subprocess.run(
        (*phone.prefix, "sh", "-c", f"cd / && {demo.connect}"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"response.done"' in done.stdout.splitlines()[-1]


@pytest.fixture
def browser(phone: Phone, chromium: Browser, tmp_path: Path) -> Iterator[Browser]:
    """Chromium on the phone."""
    start = tmp_path / "chromium"
    start.write_text(f'#!/bin/sh\nexec {" ".join(phone.prefix)} {CHROMIUM} "$@"\n')
    start.chmod(0o755)
    browser = chromium.browser_type.launch(executable_path=start, headless=True, args=list(FLAGS))
    yield browser
    browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A profile of its user, who has accepted the certificate."""
    context = browser.new_context(ignore_https_errors=True, permissions=["microphone"])
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


TALK = """async ({jwt}) => {
  const { connect, requestToken } = await import("/static/realtime.js");
  const session = connect((options) => requestToken("/token", jwt, options));
  session.addEventListener("open", () =>
    session.send({ type: "response.create", response: { output_modalities: ["text"] } }));
  let said = "";
  for await (const event of session) {
    if (event.type === "response.output_text.delta") said += event.delta;
    if (event.type === "response.done") session.close();
  }
  return said;
}"""

CALL = """async ({jwt}) => {
  const headers = { Authorization: `Bearer ${jwt}`, "Content-Type": "application/json" };
  const peer = new RTCPeerConnection();
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  peer.addTrack(microphone.getTracks()[0], microphone);
  const channel = peer.createDataChannel("oai-events");
  const opened = new Promise((resolve) => (channel.onopen = resolve));
  await peer.setLocalDescription(await peer.createOffer());
  if (peer.iceGatheringState !== "complete") {
    await new Promise((resolve) => (peer.onicecandidate = ({ candidate }) => candidate || resolve()));
  }
  const body = JSON.stringify({ sdp: peer.localDescription.sdp });
  const answer = await (await fetch("/calls", { method: "POST", headers, body })).json();
  await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  await opened;
  const said = new Promise((resolve) => {
    let text = "";
    channel.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.type === "response.output_text.delta") text += event.delta;
      if (event.type === "response.done") resolve(text);
    };
  });
  channel.send(JSON.stringify({ type: "response.create", response: { output_modalities: ["text"] } }));
  const text = await said;
  await fetch(`/calls/${answer.call.id}`, { method: "DELETE", headers });
  return text;
}"""


@pytest.mark.parametrize("script", [TALK, CALL], ids=["secret", "call"])
def test_a_phones_browser_talks(demo: PrintedDemo, context: BrowserContext, script: str) -> None:
    """The page is a secure context, so its microphone may be asked for; sound goes straight to the sandbox."""
    page = context.new_page()
    page.goto(demo.page)
    assert page.evaluate("window.isSecureContext && Boolean(navigator.mediaDevices)")
    assert ANSWER.search(page.evaluate(script, {"jwt": demo.exports["JWT"]}))
