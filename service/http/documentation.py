"""Render the pages of ``service/docs``, which are written in Markdown, for ``GET /docs/…``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it.token import Token

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs"

PAGES: Final[Mapping[str, str]] = {
    "clients": "Clients",
    "calls": "Secrets and calls",
    "sign-in": "Sign-in",
    "policy": "Session policy",
    "limits": "Limits",
    "configuration": "Configuration",
    "deployment": "Deployment",
    "azure-xai": "Azure OpenAI and xAI",
    "operating": "Operating",
    "sandbox": "Demo and sandbox",
}
"""The title of each page, by the name of its file; in the order of the navigation."""

_TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
_NARROW_COLUMNS: Final = 2
_PAGE_LINK = re.compile(r"([a-z-]+)\.md(#.*)?")


@dataclass(frozen=True, slots=True)
class Page:
    """One rendered page. ``sections`` are the anchors and titles of its headings of the second level."""

    title: str
    html: Markup
    sections: tuple[tuple[str, str], ...]


@cache
def read_page(name: str) -> Page:
    """Render one of ``PAGES``, once in a process.

    The files are our own, so HTML in them is kept. Headings have the anchors that GitHub gives them, and links between
    the files lead to the pages.
    """
    from markdown_it import MarkdownIt  # noqa: PLC0415 - it takes 60 ms, and most processes never show a page

    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    sections = tuple(_prepare(tokens))
    html = markdown.renderer.render(tokens, markdown.options, {})
    html = _TABLE.sub(_wrap_table, html)
    return Page(PAGES[name], Markup(html), sections)  # noqa: S704 - the files are our own


def _wrap_table(table: re.Match[str]) -> str:
    """Put a table into a box that scrolls where the screen is narrower; by the keyboard too, if it has many columns."""
    columns = len(re.findall("<t[hd]>", table[0].partition("</thead>")[0]))
    focus = ' tabindex="0"' if columns > _NARROW_COLUMNS else ""
    return f'<div class="table columns-{columns}"{focus}>{table[0]}</div>'


def _prepare(tokens: Sequence[Token]) -> Iterator[tuple[str, str]]:
    """Set anchors and links, let the keyboard reach code to scroll it, and make empty headings of columns cells.

    Gives the sections of the page.
    """
    for position, token in enumerate(tokens):
        if token.type == "heading_open":
            text = "".join(child.content for child in tokens[position + 1].children or ())
            token.attrSet("id", anchor(text))
            if token.tag == "h2":
                yield anchor(text), text
        elif token.type == "fence":
            token.attrSet("tabindex", "0")
        elif token.type == "th_open" and not tokens[position + 1].content:
            token.tag = tokens[position + 2].tag = "td"
        for child in token.children or ():
            if child.type == "link_open" and (link := _PAGE_LINK.fullmatch(str(child.attrGet("href")))):
                child.attrSet("href", f"/docs/{link[1]}{link[2] or ''}")


def anchor(heading: str) -> str:
    """Name a heading as GitHub does: lower case, hyphens for spaces, no punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
