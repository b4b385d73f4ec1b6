"""``demo --lan`` from a second machine: a network namespace of its own stands in for a phone."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zxingcpp
from playwright.sync_api import expect

from tests.support.browser import CHROMIUM, FLAGS, PATIENCE_MS, DemoPage, listen_for_problems
from tests.support.demo import PrintedDemo, RestartableDemo
from tests.support.tools import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ANSWER = re.compile(r"\w+( \w+)+")
PHONE: Any = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@dataclass
class Phone:
    """A machine with an address and a network card of its own, whose only way leads to this one."""

    name: str
    network: str

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
        yield Phone(name, network)
    finally:
        ip("netns", "delete", name)  # its end of the pair goes, and with it ours


@pytest.fixture(scope="module")
def lan(phone: Phone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestartableDemo]:  # noqa: ARG001 - its network is there before the demo looks
    """The demo on the network, with TLS."""
    demo = RestartableDemo(tmp_path_factory.mktemp("cache"), "--lan")
    yield demo
    demo.stop()


@pytest.fixture
def demo(lan: RestartableDemo) -> PrintedDemo:
    return lan.printed


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
    """Its certificate names the address, which is also that of the QR code."""
    assert demo.page.startswith("https://")
    assert "127.0.0.1" not in demo.page
    assert scan(demo.run.output) == demo.page
    assert "<html" in curl(phone, "--cacert", demo.exports["SSL_CERT_FILE"], demo.page)


def scan(printed: str) -> str:
    """Read the QR code on a terminal, which is drawn in half blocks, as a phone does."""
    drawn = [line for line in printed.splitlines() if line and not line.strip("█▀▄ ")]
    side = range(4)  # pixels of a module, to be recognised
    rows = [
        bytes(255 * (block in lit) for block in line for _ in side)
        for line in drawn
        for lit in ("█▀", "█▄")
        for _ in side
    ]
    [code] = zxingcpp.read_barcodes(memoryview(b"".join(rows)).cast("B", (len(rows), len(rows[0]))))
    return code.text


def test_pages_at_this_machines_addresses_may_call_it_and_no_other_machines(
    demo: PrintedDemo, phone: Phone
) -> None:
    """Its own development servers are opened from phones, too, by its address and their port."""
    own, other = f"{phone.network}.1", f"{phone.network}.2"
    origins = {
        f"https://{own}:5173": True,
        f"http://{own}": True,
        "http://localhost:5173": True,
        f"https://{other}:5173": False,
        f"https://{own}.example.com": False,
        f"https://{own}@{other}": False,
    }
    trust = ("--cacert", demo.exports["SSL_CERT_FILE"])
    for origin, allowed in origins.items():
        asked = (
            "--request",
            "POST",
            "--header",
            f"Origin: {origin}",
            f"{demo.exports['TOKEN_SERVICE']}/token",
        )
        answer = curl(phone, "--include", *trust, *asked)
        assert "invalid_token" in answer or "missing_token" in answer
        assert (f"Access-Control-Allow-Origin: {origin}\n" in answer) == allowed, origin
        assert allowed or "Access-Control-Allow-Origin" not in answer


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
def on_the_phone(demo: PrintedDemo, phone: Phone, chromium: Browser, tmp_path: Path) -> Iterator[DemoPage]:
    """The page in the phone's own Chromium, whose user has accepted the certificate."""
    start = tmp_path / "chromium"
    start.write_text(f'#!/bin/sh\nexec {" ".join(phone.prefix)} {CHROMIUM} "$@"\n')
    start.chmod(0o755)
    browser = chromium.browser_type.launch(executable_path=start, headless=True, args=list(FLAGS))
    context = browser.new_context(**PHONE, ignore_https_errors=True, permissions=["microphone"])
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    visit = DemoPage(page, listen_for_problems(page))
    page.goto(demo.page)
    yield visit
    browser.close()
    assert visit.problems == []


def test_a_page_left_open_on_a_phone_talks_before_and_after_a_restart(
    lan: RestartableDemo, on_the_phone: DemoPage
) -> None:
    """By its own buttons: a secret, then a call, whose sound goes straight to the sandbox."""
    page = on_the_phone.page
    assert page.evaluate("window.isSecureContext && Boolean(navigator.mediaDevices)")
    talk_by_secret_and_by_call(on_the_phone)
    lan.restart()
    expect(on_the_phone.status).to_have_text("Not connected")
    expect(on_the_phone.step("session")).to_have_attribute("data-state", re.compile("ended|refused"))
    talk_by_secret_and_by_call(on_the_phone)
    assert page.url == lan.printed.page


def talk_by_secret_and_by_call(demo: DemoPage) -> None:
    """Have a typed message answered by a secret; then open a call, and leave it open once a word was answered."""
    demo.choose("Written")
    demo.connect("websocket")
    demo.say("Hello from a phone.")
    expect(demo.answers).to_have_text(ANSWER)
    demo.press("Disconnect")
    demo.connect("call")
    demo.say("Hello again.")
    expect(demo.answers.first).to_have_text(ANSWER)
    assert demo.steps == ["passed"] * 6
