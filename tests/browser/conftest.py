"""Fixtures: one demo; a page and a profile of its own for every test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

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


@contextmanager
def opened_demo(chromium: Browser, demo_url: str) -> Iterator[DemoPage]:
    """Open the page in a profile of its own; fails where the browser complains of anything but a refusal."""
    context = chromium.new_context(color_scheme="light", viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    visit = DemoPage(page, listen_for_problems(page))
    page.goto(demo_url)
    yield visit
    context.close()
    assert visit.problems == []


@pytest.fixture
def demo(chromium: Browser, demo_url: str) -> Iterator[DemoPage]:
    """The demo page, just opened."""
    with opened_demo(chromium, demo_url) as visit:
        yield visit


@pytest.fixture(scope="module")
def expiring(chromium: Browser, demo_url: str) -> Iterator[DemoPage]:
    """A page on which a secret expires, begun early: other tests run while it does."""
    with opened_demo(chromium, demo_url) as visit:
        visit.provoke("Let a secret expire")
        expect(visit.step("grant")).to_contain_text(re.compile(r"\d+ s left to use it"))
        yield visit


@pytest.fixture(scope="module")
def running_out(chromium: Browser, demo_url: str) -> Iterator[DemoPage]:
    """A page whose call ends at its deadline, begun early: other tests run meanwhile."""
    with opened_demo(chromium, demo_url) as visit:
        visit.provoke("Let a call run out")
        expect(visit.time_left).to_have_text(re.compile(r"0:\d\d left"))
        yield visit
