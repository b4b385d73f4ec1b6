"""What the documentation teaches, and what is the default somewhere, outlives the vendor's announced shutdowns."""

from __future__ import annotations

import re
from datetime import date

import pytest

from service.demo.environment import MODELS as DEMO_MODELS
from service.sandbox.models import MODELS
from service.settings import Settings
from tests.support.documentation import DOCUMENTS
from tests.support.processes import ROOT

ENDING = {model.name for model in MODELS if model.shutdown_date or model.beta}
TEACHING = [
    *DOCUMENTS,
    ROOT / "service/http/openapi.json",
    *(ROOT / "service/static").rglob("*.js"),
    *(ROOT / "service/templates").rglob("*.html"),
    *(ROOT / "service/demo").glob("*.py"),
    *(ROOT / "tests/examples/guide").glob("today*"),
]


def test_the_sandbox_knows_the_announced_shutdowns() -> None:
    assert {"gpt-realtime", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "whisper-1"} <= ENDING
    assert all(date.fromisoformat(model.shutdown_date) for model in MODELS if model.shutdown_date)


@pytest.mark.parametrize("path", TEACHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_example_names_a_model_with_an_announced_shutdown(path: object) -> None:
    """A model's name ends where a letter, digit or hyphen does not go on, nor a version's dot."""
    text = (ROOT / str(path)).read_text(encoding="utf-8")
    named = [name for name in ENDING if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-]|\.\d)", text)]
    assert named == []


def test_no_default_is_a_model_with_an_announced_shutdown() -> None:
    defaults = {
        Settings.variables()["DEFAULT_MODEL"],
        *(name for names in DEMO_MODELS.values() for name in names),
    }
    assert not defaults & ENDING
    assert defaults <= {model.name for model in MODELS}
