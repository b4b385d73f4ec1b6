"""``/docs/NAME`` shows the pages of ``service/docs``, and the navigation between them."""

from __future__ import annotations

import re

import pytest

from service.http.documentation import PAGES, read_page
from tests.support.service import TokenService, app_in_process


@pytest.fixture(scope="module")
def app() -> TokenService:
    """An app without a vendor: no page needs one."""
    return app_in_process("http://127.0.0.1:1/v1")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_its_title_and_links_to_all_others(app: TokenService, name: str) -> None:
    page = app.get(f"/docs/{name}")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f"<title>{PAGES[name]} · " in page.text
    assert re.findall(r'<a href="/docs/([a-z-]+)" aria-current="page">', page.text) == [name]
    others = {*re.findall(r'<li><a href="/docs/([a-z-]+)">', page.text)}
    assert others == PAGES.keys() - {name}
    assert '<a href="/docs">API</a>' in page.text


@pytest.mark.parametrize("name", PAGES)
def test_a_page_holds_nothing_that_its_policy_would_block(app: TokenService, name: str) -> None:
    """Neither scripts nor styles of its own; and no Markdown is left over."""
    page = app.get(f"/docs/{name}")
    assert page.headers["Content-Security-Policy"] == app.get("/docs").headers["Content-Security-Policy"]
    assert not re.search(r"<script|<style|style=|\son\w+=", page.text)
    assert "|---" not in page.text
    assert not re.search(r'href="[^"]*\.md', page.text)


@pytest.mark.parametrize("name", PAGES)
def test_links_between_pages_lead_to_headings(app: TokenService, name: str) -> None:
    for target, heading in re.findall(r'href="(/docs(?:/[a-z-]+)?|)#([^"]+)"', app.get(f"/docs/{name}").text):
        assert f'id="{heading}"' in app.get(target or f"/docs/{name}").text, (target, heading)


def test_a_table_of_many_columns_is_scrolled_by_the_keyboard_too(app: TokenService) -> None:
    page = app.get("/docs/deployment").text
    assert '<div class="table columns-6" tabindex="0"><table>' in page
    assert '<div class="table columns-2"><table>' in app.get("/docs/calls").text


def test_html_in_code_stays_text() -> None:
    """And each page is rendered once in a process."""
    assert "Bearer $JWT&quot;" in read_page("calls").html
    assert read_page("calls") is read_page("calls")


@pytest.mark.parametrize("name", ["nothing", "clients.md", "clients/", "console.png", "..%2Fapp.py", "%00"])
def test_an_unknown_page_is_refused_as_every_unknown_route_is(app: TokenService, name: str) -> None:
    answer = app.get(f"/docs/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
