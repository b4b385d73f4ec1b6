from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.support.browser import DemoPage

pytestmark = pytest.mark.parametrize("demo", ["light", "dark"], indirect=True)


def violations(demo: DemoPage) -> list[str]:
    """List what axe-core finds wrong, whatever its impact."""
    found = Axe().run(demo.page).response["violations"]
    return [f"{rule['id']}: {node['target']}" for rule in found for node in rule["nodes"]]


def test_a_fresh_page_is_accessible(demo: DemoPage) -> None:
    """Labels, contrast, landmarks and roles, in both themes."""
    demo.page.get_by_text("See it refuse").click()
    assert violations(demo) == []


def test_a_running_session_is_accessible(demo: DemoPage) -> None:
    """With an answer, an event unfolded, and everything enabled that can be."""
    demo.connect()
    demo.say("Hello")
    demo.expect_event("response.done").get_by_role("button").click()
    assert violations(demo) == []


@pytest.mark.parametrize("view", ["Use it in your app", "Admin"])
def test_a_call_and_the_other_views_are_accessible(demo: DemoPage, view: str) -> None:
    """A call that runs, with code to copy and the list of calls beside it."""
    demo.connect("live")
    demo.show(view)
    if view == "Admin":
        expect(demo.page.get_by_role("row")).to_have_count(2)
    assert violations(demo) == []


def test_a_refusal_is_accessible(demo: DemoPage) -> None:
    """An alert that is read out once, and seen in both themes."""
    demo.provoke("Send a forged token")
    expect(demo.notice).to_be_visible()
    assert violations(demo) == []
