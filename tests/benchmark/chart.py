"""One picture of a run: a panel of bars for each figure, as SVG that suits light and dark pages."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from .candidates import SERVICE
from .plan import BUSY, Outing

_WIDTH = 760
_LABELS = 150  # where bars begin
_BAR_SPACE = _WIDTH - _LABELS - 80
_ROW = 22
_TITLE = 40
_MARGIN = 24
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 }
  .note { fill: #57606a; font-size: 11px }
  .ours { fill: #0b7a5b }
  .theirs { fill: #8c959f }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #9198a1 } .ours { fill: #2fbf8f } .theirs { fill: #6e7681 }
  }
"""


@dataclass(frozen=True)
class _Panel:
    title: str
    figure: Callable[[Outing], float]
    form: str


_PANELS = (
    _Panel(f"Mints a second, {BUSY} (longer is better)", lambda o: o.under(BUSY).mints_per_second, "{:.0f}"),
    _Panel("99th percentile there, milliseconds", lambda o: o.under(BUSY).p99 * 1000, "{:.1f}"),
    _Panel("CPU a mint there, milliseconds", lambda o: o.under(BUSY).cpu_per_mint * 1000, "{:.2f}"),
    _Panel("Memory after all loads, MB", lambda o: o.memory / 1024 / 1024, "{:.0f}"),
    _Panel("Start to first mint, seconds", lambda o: o.cold_start, "{:.2f}"),
)


def draw(by_name: Mapping[str, Outing], where: Mapping[str, Any]) -> str:
    """Return the picture; `where` is named under it."""
    panel_height = _TITLE + _ROW * len(by_name)
    height = panel_height * len(_PANELS) + 2 * _MARGIN
    note = "{cores} cores of {cpu}, Python {python}, Node {node}, {when}".format_map(where)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>The token service beside its peers</title>",
        f"<style>{_STYLE}</style>",
    ]
    for number, panel in enumerate(_PANELS):
        parts.extend(_bars(panel, by_name, top=number * panel_height))
    parts.append(f'<text class="note" x="8" y="{height - _MARGIN // 2}">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _bars(panel: _Panel, by_name: Mapping[str, Outing], top: int) -> Iterator[str]:
    figures = {name: panel.figure(outing) for name, outing in by_name.items()}
    longest = max(figures.values()) or 1
    yield f'<text class="title" x="8" y="{top + 28}">{escape(panel.title)}</text>'
    for row, (name, figure) in enumerate(figures.items()):
        y = top + _TITLE + row * _ROW
        kind = "ours" if name.startswith(SERVICE) else "theirs"
        length = figure / longest * _BAR_SPACE
        yield f'<text x="8" y="{y + 13}">{escape(name)}</text>'
        yield f'<rect class="{kind}" x="{_LABELS}" y="{y}" width="{length:.1f}" height="16" rx="2"/>'
        yield f'<text x="{_LABELS + length + 6:.1f}" y="{y + 13}">{panel.form.format(figure)}</text>'
