"""The example apps: a React app, built and used in Chromium, and an Expo app, type-checked."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import requests
from playwright.sync_api import expect

from tests.support.browser import watched_tab
from tests.support.demo import RestartableDemo
from tests.support.examples import PROGRAMS, install_node_packages
from tests.support.processes import accepts_connections, bare_environ, free_port, running
from tests.support.tools import require
from tests.support.turns import one_at_a_time

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

REACT = PROGRAMS / "apps" / "react"
EXPO = PROGRAMS / "apps" / "expo"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestartableDemo]:
    """The demo, without a word of the app's origin."""
    demo = RestartableDemo(tmp_path_factory.mktemp("cache"))
    yield demo
    demo.stop()


@pytest.fixture(scope="module")
def app_url(demo: RestartableDemo) -> Iterator[str]:
    """The React app, built and served by Vite on a port of its own."""
    require("node", "npm", "chromium")
    install_node_packages(REACT)
    environ = bare_environ(VITE_TOKEN_SERVICE=demo.printed.exports["TOKEN_SERVICE"])
    with one_at_a_time("react"):
        built = subprocess.run(
            ("npm", "run", "build"), cwd=REACT, env=environ, capture_output=True, text=True, check=False
        )
        assert built.returncode == 0, built.stdout + built.stderr
        port = free_port()
        vite = (
            "node",
            "node_modules/vite/bin/vite.js",
            "preview",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        )
        ready = lambda _: accepts_connections(port)  # noqa: E731 - one look
        with running((*vite, "--strictPort"), environ=environ, cwd=REACT, ready=ready):
            yield f"http://127.0.0.1:{port}"


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A tab that fails the test where the browser complains of anything."""
    with watched_tab(chromium) as page:
        yield page


def test_the_react_app_talks_from_another_port_before_and_after_a_restart(
    demo: RestartableDemo, app_url: str, page: Page
) -> None:
    """Signed in with the printed JWT and left open, it hears an answer either way, and ends what it began."""
    exports = demo.printed.exports
    page.goto(f"{app_url}/#jwt={exports['JWT']}")
    talk(page, "Talk by a secret")
    demo.restart()
    talk(page, "Talk by a secret")
    talk(page, "Call")
    assert open_calls(demo) == []


def open_calls(demo: RestartableDemo) -> list[str]:
    """Return the ids of the user's calls that nobody has ended."""
    exports = demo.printed.exports
    headers = {"Authorization": f"Bearer {exports['JWT']}"}
    calls = requests.get(f"{exports['TOKEN_SERVICE']}/calls", headers=headers, timeout=10).json()["calls"]
    return [call["id"] for call in calls if call["state"] == "open"]


def talk(page: Page, way: str) -> None:
    page.get_by_role("button", name=way).click()
    expect(page.get_by_role("status")).to_contain_text("talking")
    expect(page.locator("#said")).to_have_text(re.compile(r"\w+( \w+)+"))
    if way == "Call":
        expect(page.get_by_role("status")).to_contain_text(re.compile(r"\d+ s left"))
    page.get_by_role("button", name="End").click()
    expect(page.get_by_role("status")).to_have_text("idle")


@pytest.mark.parametrize("way", ["Talk by a secret", "Call"])
def test_the_react_app_tells_of_no_error_where_the_user_ends_what_is_connecting(
    demo: RestartableDemo, app_url: str, page: Page, way: str
) -> None:
    """The answer of the service is still awaited then, in a call also to end what it opened."""
    page.goto(f"{app_url}/#jwt={demo.printed.exports['JWT']}")
    awaited: list[Route] = []
    page.route(re.compile("/(token|calls)$"), lambda route: awaited.append(route))  # noqa: PLW0108 - it is inspected
    with page.expect_request(re.compile("/(token|calls)$")):
        page.get_by_role("button", name=way, exact=True).click()
    page.get_by_role("button", name="End").click()
    if way == "Call":
        awaited[0].continue_()
    expect(page.get_by_role("status")).to_have_text("idle")
    expect(page.get_by_role("alert")).to_have_count(0)
    assert open_calls(demo) == []


def test_the_react_app_tells_a_refusal_in_the_services_words(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/#jwt=nobody")
    page.get_by_role("button", name="Talk by a secret").click()

    expect(page.get_by_role("alert")).to_contain_text("(invalid_token)")


def test_the_expo_app_is_typed() -> None:
    """The strict TypeScript compiler agrees with it; it is not built, which takes an SDK of Apple's or Google's."""
    require("node", "npm")
    install_node_packages(EXPO, "--ignore-scripts")
    compiler = EXPO / "node_modules" / ".bin" / "tsc"
    checked = subprocess.run((compiler, "--project", EXPO), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
