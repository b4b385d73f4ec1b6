"""``/``, ``/docs`` and its pages: for people a page, for machines JSON; nothing from another host, and accessible."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from service.http.documentation import PAGES
from tests.support.browser import findings, listen_for_problems
from tests.support.service import TokenService, app_in_process

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_machines_are_told_where_to_look(app: TokenService, accept: str) -> None:
    """Every path that is named exists."""
    answer = app.get("/", headers={"Accept": accept})
    told: dict[str, Any] = answer.json()
    assert answer.headers["Vary"] == "Accept"
    assert told["service"] == "Realtime token service"
    assert told["routes"]["calls"] == "/calls"
    assert "demo" not in told["routes"]
    for path in told["routes"].values():
        assert app.get(path).status_code != 404, path


def test_routes_that_are_off_are_not_named() -> None:
    """A service without calls says nothing of them, on either page."""
    app = app_in_process("http://127.0.0.1:1/v1", CALL_TYPES="none")
    assert "calls" not in app.get("/").json()["routes"]
    assert ">/calls" not in app.get("/docs").text


def test_the_documentation_is_the_description(app: TokenService) -> None:
    """Every route, every body and every member of it is there, in one small page."""
    page = app.get("/docs").text
    described: dict[str, Any] = app.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        for method in methods:
            assert re.search(rf">{method.upper()}</b> <code>{re.escape(path)}</code>", page), path
    for name, schema in described["components"]["schemas"].items():
        for member in schema.get("properties", {}):
            assert f"<code>{member}</code>" in page, (name, member)
    assert len(page) < 100_000


@pytest.mark.parametrize("path", ["/", "/docs", *(f"/docs/{name}" for name in PAGES)])
def test_the_pages_are_accessible_at_every_width(chromium: Browser, service: TokenService, path: str) -> None:
    """Axe finds nothing, Chromium complains of nothing, links lead somewhere, nothing is too wide.

    Pages of the documentation differ in their text alone: one stands for all in each width and colour. ``/docs``, which
    is long, is judged folded, and on a phone unfolded.
    """
    context = chromium.new_context()
    page = context.new_page()
    problems = listen_for_problems(page)
    page.goto(service.url + path)
    found = []
    if path == "/docs":
        found += findings(page, widths=[1440, 768], looks=["light"])
        for summary in page.locator("summary").all():
            summary.click()
        found += findings(page, widths=[390])
    elif path in {"/", "/docs/calls"}:
        found += findings(page)
    else:
        found += findings(page, widths=[390], looks=["light"])
    assert found == []
    dangling = """[...document.querySelectorAll("a[href^='#']")]
      .map((link) => link.hash.slice(1)).filter((id) => !document.getElementById(id))"""
    assert page.evaluate(dangling) == []
    context.close()
    assert problems == []
