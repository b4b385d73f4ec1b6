"""The README and the pages of ``service/docs``, and what is marked in them."""

from __future__ import annotations

import re

from tests.support.processes import ROOT

README = ROOT / "README.md"
PAGES = sorted((ROOT / "service" / "docs").glob("*.md"))
DOCUMENTS = [README, *PAGES]
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)

_BLOCK = re.compile(r"(?:<!-- (\w+): ([\w.-]+) -->\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks() -> list[tuple[str, str, str, str]]:
    """List all code blocks: the kind and the name of the marker above (``<!-- KIND: NAME -->``), language, text."""
    return _BLOCK.findall(TEXT)


def marked(kind: str) -> dict[str, str]:
    """Return the code below each marker of a kind, by its name."""
    found = [(name, text) for each, name, _, text in blocks() if each == kind]
    assert len(dict(found)) == len(found), f"two {kind}s have one name"
    return dict(found)
