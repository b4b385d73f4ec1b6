"""What axe-core finds wrong with the demo page, in both themes."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.support.browser import DemoPage


def violations(demo: DemoPage) -> list[str]:
    """List what axe-core finds wrong in either theme, whatever its impact."""
    axe = Axe()
    found = []
    for theme in ("light", "dark"):
        expect(demo.page.locator("html")).to_have_attribute("data-theme", theme)
        rules = axe.run(demo.page).response["violations"]
        found += [f"{theme}, {rule['id']}: {node['target']}" for rule in rules for node in rule["nodes"]]
        demo.press("Dark")
    return found


def test_a_fresh_page_is_accessible(demo: DemoPage) -> None:
    """Labels, contrast, landmarks and roles."""
    demo.page.get_by_text("Try refused requests").click()
    assert violations(demo) == []


def test_a_running_session_is_accessible(demo: DemoPage) -> None:
    """With an answer, an event unfolded, and everything enabled that can be."""
    demo.connect()
    demo.say("Hello")
    demo.expect_event("response.done").get_by_role("button").click()
    assert violations(demo) == []


def test_a_call_and_the_other_views_are_accessible(demo: DemoPage) -> None:
    """A call that runs, with code to copy and then the list of calls beside it."""
    demo.connect("live")
    demo.show("Use it in your app")
    demo.show("React")
    expect(demo.page.locator("#code")).to_contain_text('model: "gpt-live-1.1"')
    assert violations(demo) == []
    demo.show("Admin")
    expect(demo.page.get_by_role("row").nth(1)).to_be_visible()
    assert violations(demo) == []


def test_a_refusal_is_accessible(demo: DemoPage) -> None:
    """An alert that is read out once."""
    demo.provoke("Send a forged token")
    expect(demo.notice).to_be_visible()
    assert violations(demo) == []
