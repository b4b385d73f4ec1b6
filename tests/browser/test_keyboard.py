"""The page by keyboard alone: Tab, arrows, Enter, Space, Esc and letters, from its load to the end and the log."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import DemoPage

IS_FOCUSED = "element => element === document.activeElement"

START = """() => {
  for (const one of document.querySelectorAll("*")) {
    delete one.dataset.reached;
    delete one.dataset.changing;
    if (one.matches(":disabled, [hidden]")) one.dataset.changing = "";
  }
  window.changes ??= new MutationObserver((changes) => changes.forEach(({ target }) => target.dataset.changing = ""));
  window.changes.observe(document, { subtree: true, attributeFilter: ["disabled", "hidden"] });
}"""
"""Before Tab has come to anything. What is not there to use, or comes and goes from here on, is marked."""

STEP = """() => {
  const element = document.activeElement;
  if ("reached" in element.dataset) return null;
  element.dataset.reached = "";
  const atEnd = element === document.body;
  const shown = element.matches("[type=radio]") ? element.nextElementSibling : element;
  const name = element.id || element.textContent.trim() || element.value;
  return { name, atEnd, folded: element.matches("details:not([open]) > summary"),
    outlined: getComputedStyle(shown).outlineStyle !== "none" };
}"""
"""What Tab has come to: ``null`` where it was before."""

MISSED = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
  .filter((one) => one.checkVisibility() && !one.matches(":disabled") && !("reached" in one.dataset))
  .filter((one) => !("changing" in one.dataset))
  .filter((one) => !one.matches("[type=radio]:not(:checked), [role=tab][tabindex='-1'], #events [tabindex='-1']"))
  .map((one) => one.id || one.textContent)"""
"""What can be used and Tab did not come by; arrow keys reach the other choices of a group, tabs and events.

An answer that begins in mid-walk shows its stop button behind the focus: what comes and goes is left out.
"""


@dataclass
class Keyboard:
    """Somebody who has no mouse; the focus is where the browser has put it."""

    page: Page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def tab_to(self, target: Locator, *, key: str = "Tab") -> None:
        """Press Tab, or Shift+Tab, until the focus is there."""
        for _ in range(60):
            self.press(key)
            if target.evaluate(IS_FOCUSED):
                return
        raise AssertionError(f"{key} never comes to {target}")


@pytest.fixture
def keys(demo: DemoPage) -> Keyboard:
    wait_until_ready(demo.page)
    return Keyboard(demo.page)


def wait_until_ready(page: Page) -> None:
    """Wait for the page's scripts: until then nobody can connect."""
    expect(page.locator("#connect")).to_be_enabled()


def walk(keys: Keyboard) -> list[str]:
    """Go through the page by Tab, unfold what is folded, and name all of it; each shows that it has the focus."""
    names: list[str] = []
    keys.page.evaluate(START)
    for _ in range(100):
        keys.press("Tab")
        found = keys.page.evaluate(STEP)
        if found is None:
            return names
        if found["atEnd"]:
            continue
        assert found["outlined"], found
        names.append(found["name"])
        if found["folded"]:
            keys.press("Enter")
    raise AssertionError(f"no end: {names}")


def test_tab_comes_by_everything_that_can_be_used(demo: DemoPage, keys: Keyboard) -> None:
    """Before a session and in a call, with a panel of views at a time; the focus is always seen."""
    names = walk(keys)
    assert {"theme", "connect", "jwt", "Send a forged token", "transcript", "filter"} <= {*names}
    assert demo.page.evaluate(MISSED) == []

    demo.page.reload()
    wait_until_ready(demo.page)
    start_call(demo, keys)
    for view in ("Use it in your app", "Admin"):
        keys.tab_to(demo.page.locator("#views [aria-selected=true]"))
        keys.press("ArrowRight")
        expect(demo.page.get_by_role("tab", name=view)).to_be_focused()
        expect(demo.page.get_by_role("tabpanel", name=view, exact=True)).to_be_visible()
        walk(keys)
        assert demo.page.evaluate(MISSED) == []


def start_call(demo: DemoPage, keys: Keyboard) -> None:
    """Choose a call of two minutes, from the top of the page, and open it."""
    keys.tab_to(demo.page.locator("input[name=access]:checked"))
    keys.press("ArrowDown", "ArrowDown")
    expect(demo.page.locator("input[value=call]")).to_be_checked()
    keys.tab_to(demo.page.get_by_label("For how long at most"))
    keys.press("ArrowDown", "ArrowDown")
    keys.tab_to(demo.page.locator("#connect"))
    keys.press("Enter")
    expect(demo.status).to_have_text("Listening…")


def test_a_secret_is_used_by_keyboard_alone(demo: DemoPage, keys: Keyboard) -> None:
    """The focus goes where the next step is; Esc stops the answer, and the button that connected disconnects."""
    keys.tab_to(demo.page.get_by_label("Model"))
    keys.press("ArrowDown")
    keys.tab_to(demo.page.locator("#connect"))
    keys.press("Space")
    expect(demo.page.get_by_label("Message")).to_be_focused()
    keys.page.keyboard.type("Tell me a long story, about everything that you have ever heard of.")
    keys.press("Enter")
    demo.expect_event("response.output_audio.delta")
    keys.press("Escape")
    demo.expect_event("conversation.item.truncate")
    expect(demo.step("grant")).to_contain_text("Used: its session runs")
    expect(demo.step("policy")).to_contain_text("gpt-realtime-2.1-mini")
    keys.tab_to(demo.page.get_by_role("button", name="Disconnect"), key="Shift+Tab")
    keys.press("Enter")
    expect(demo.status).to_have_text("Not connected")
    expect(demo.page.locator("#connect")).to_be_focused()


def test_a_call_is_opened_muted_and_ended_and_its_log_read_by_keyboard_alone(
    demo: DemoPage, keys: Keyboard
) -> None:
    """Ended on the admin's panel; then the log, which is one tab stop: arrows move, Enter unfolds, C copies."""
    demo.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    start_call(demo, keys)
    expect(demo.time_left).to_have_text(re.compile(r"(2:00|1:5\d) left"))
    keys.tab_to(demo.page.get_by_role("button", name="Stop talking"))
    keys.press("Space")
    expect(demo.status).to_have_text("Connected")
    keys.tab_to(demo.page.get_by_role("tab", name="Events"))
    keys.press("End")
    keys.tab_to(demo.page.locator("tr[data-own]").get_by_role("button", name="End"))
    keys.press("Enter")
    expect(demo.page.locator("[data-speaker=note]")).to_contain_text("An admin ended it")
    keys.tab_to(demo.page.get_by_role("tab", name="Admin"), key="Shift+Tab")
    keys.press("Home")
    expect(demo.page.get_by_role("tab", name="Events")).to_be_focused()
    read_the_log(demo, keys)


def read_the_log(demo: DemoPage, keys: Keyboard) -> None:
    """Read and copy the session's first event, and leave the list."""
    opened = demo.expect_event("POST /calls").get_by_role("button", name="POST /calls")
    created = demo.expect_event("session.created")
    header = created.get_by_role("button").first
    keys.tab_to(demo.log.locator("[tabindex='0']"))
    expect(opened).to_be_focused()
    for _ in range(10):
        keys.press("ArrowDown")
        if header.evaluate(IS_FOCUSED):
            break
    keys.press("Enter")
    expect(created.locator("pre")).to_contain_text("sess_")
    keys.press("c")
    expect(created.get_by_text("Copied")).to_be_visible()
    assert json.loads(demo.page.evaluate("navigator.clipboard.readText()"))["type"] == "session.created"
    keys.press("Tab")
    expect(demo.log.locator(":focus")).to_have_count(0)
    keys.press("Shift+Tab")
    expect(header).to_be_focused()


def test_a_refusal_is_brought_about_and_mended_by_keyboard_alone(demo: DemoPage, keys: Keyboard) -> None:
    """The trials are unfolded by Enter; the session after the refusal begins as ever."""
    keys.tab_to(demo.page.get_by_text("Try refused requests"))
    keys.press("Enter")
    keys.tab_to(demo.page.get_by_role("button", name="Send a forged token"))
    keys.press("Space")
    expect(demo.notice).to_contain_text("401 invalid_token")
    keys.tab_to(demo.page.locator("#connect"), key="Shift+Tab")
    keys.press("Enter")
    expect(demo.status).to_have_text("Connected")


def test_tab_follows_what_is_seen_on_a_phone(demo: DemoPage, keys: Keyboard) -> None:
    """Where the transcript stands first, it comes first; the button to connect is beside the status above it."""
    demo.page.set_viewport_size({"width": 390, "height": 844})
    names = walk(keys)
    places = [names.index(name) for name in ("theme", "connect", "transcript", "model", "filter")]
    assert places == sorted(places), names
