"""Fixtures: one demo; a page and a profile of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import PATIENCE_MS, DemoPage, listen_for_problems
from tests.support.processes import PYTHON, bare_environ, free_port, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def demo_url() -> Iterator[str]:
    """The address that ``python -m service demo`` prints."""
    command = (PYTHON, "-m", "service", "demo", "--port", str(free_port()))
    with running(command, environ=bare_environ(), ready=lambda run: "Demo page: " in run.output) as run:
        yield run.output.partition("Demo page: ")[2].split()[0]


@pytest.fixture(params=["light"])
def demo(chromium: Browser, demo_url: str, request: pytest.FixtureRequest) -> Iterator[DemoPage]:
    """The demo page, just opened; the test fails where the browser complains of anything but a refusal."""
    context = chromium.new_context(color_scheme=request.param, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    visit = DemoPage(page, listen_for_problems(page))
    page.goto(demo_url)
    yield visit
    context.close()
    assert visit.problems == []
