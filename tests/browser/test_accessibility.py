"""What axe-core finds wrong with the demo page in its main states, at each width, in both themes and forced colours."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.support.browser import DemoPage, findings


def test_a_fresh_page_is_accessible(demo: DemoPage) -> None:
    """Labels, contrast, landmarks and roles."""
    demo.page.get_by_text("Your token:").click()
    demo.page.get_by_text("Try refused requests").click()
    assert findings(demo.page) == []


def test_a_running_session_is_accessible(demo: DemoPage) -> None:
    """With an answer, an event unfolded, and everything enabled that can be."""
    demo.connect()
    demo.say("Hello")
    demo.expect_event("response.done").get_by_role("button").click()
    assert findings(demo.page) == []


def test_a_call_and_the_other_views_are_accessible(demo: DemoPage) -> None:
    """A call that runs, with the list of calls beside it, and then code to copy."""
    demo.connect("live")
    demo.show("Admin")
    expect(demo.page.get_by_role("row").nth(1)).to_be_visible()
    assert findings(demo.page) == []
    demo.show("Use it in your app")
    demo.show("React")
    expect(demo.page.locator("#code")).to_contain_text('model: "gpt-live-1.1"')
    assert findings(demo.page, widths=(390,)) == []


def test_a_refusal_is_accessible(demo: DemoPage) -> None:
    """An alert that is read out once."""
    demo.provoke("Send a forged token")
    expect(demo.notice).to_be_visible()
    assert findings(demo.page) == []
