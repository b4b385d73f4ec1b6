"""The README and the pages of ``service/docs`` say what is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.core.errors import ServiceError
from service.http.documentation import PAGES as TITLES
from service.http.documentation import anchor
from service.settings import Settings
from tests.support.documentation import DOCUMENTS, PAGES, README, TEXT, blocks, marked
from tests.support.processes import ROOT


def environment_table() -> dict[str, str]:
    """Read the tables of variables: each with the default it states."""
    text = (ROOT / "service/docs/configuration.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \| ", text, re.MULTILINE)
    table = dict(rows)
    assert len(table) == len(rows), "a variable stands there twice"
    return table


def stated(default: object) -> str:
    """Spell a default as the table does."""
    if default is None or default == ():
        return "\N{EN DASH}"
    if isinstance(default, bool):
        return f"`{int(default)}`"
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default}`"


IN_WORDS = {
    "OPENAI_API_KEY": "required",
    "OPENAI_VENDOR": "by the host of `OPENAI_BASE_URL`",
    "REALTIME_PUBLIC_URL": "`OPENAI_BASE_URL`",
    "SAFETY_IDENTIFIER_SECRET": "derived from the key",
    "JWT_ISSUER": "required, or by provider",
    "JWT_AUDIENCE": "required, or by provider",
    "ALLOWED_MODELS": "`DEFAULT_MODEL`",
    "RATE_LIMIT_STORAGE_URL": "`REDIS_URL`, else `memory://`",
}
"""Defaults that depend on another variable."""


def test_the_environment_tables_are_equal_to_the_settings() -> None:
    settings = {name: stated(default) for name, default in Settings.variables().items()}

    assert environment_table() == settings | IN_WORDS


def test_each_variable_that_can_be_a_file_is_listed() -> None:
    files = {name for name in Settings.names() if name.endswith("_FILE")}

    assert set(re.findall(r"`([A-Z_]+_FILE)`", TEXT)) - {"SSL_CERT_FILE"} == files


def test_a_default_in_words_is_really_none_in_the_settings() -> None:
    for name in IN_WORDS:
        default = Settings.variables()[name]
        assert default in (None, ()) or str(default) == "PydanticUndefined"
        assert not isinstance(default, SecretStr)


def test_ci_runs_the_readmes_test_command_word_for_word() -> None:
    [command] = [line for line in README.read_text().splitlines() if line.endswith("python -m pytest")]

    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_procfile_is_the_contracts_production_command() -> None:
    procfile = (ROOT / "Procfile").read_text()

    assert procfile == "web: exec python -m service serve --no-env-file\n"


def test_the_systemd_unit_runs_the_contracts_production_command() -> None:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign] - systemd's names have capitals
    unit.read_string(marked("file")["tokens.service"])

    service = unit["Service"]
    assert (
        service["ExecStart"]
        == f"{service['WorkingDirectory']}/.venv/bin/python -m service serve --no-env-file"
    )
    assert f"stop_grace_period: {service['TimeoutStopSec']}s" in marked("file")["compose.yaml"]


def test_the_readme_is_short_and_its_picture_small() -> None:
    assert len(README.read_text().splitlines()) < 600
    assert (ROOT / "service/docs/console.png").stat().st_size < 150_000


def test_each_page_has_the_title_that_the_navigation_shows() -> None:
    titles = {path.stem: path.read_text().partition("\n")[0].removeprefix("# ") for path in PAGES}

    assert titles == TITLES


def anchors(path: Path) -> set[str]:
    """Name the headings of a document as GitHub does."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    return {anchor(re.sub(r"[`*]", "", heading)) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        name, _, heading = link.partition("#")
        target = (path.parent / name) if name else path
        assert target.is_file(), link
        assert not heading or heading in anchors(target), link


def test_the_table_of_metrics_is_complete() -> None:
    source = "".join(path.read_text() for path in (ROOT / "service" / "observe").glob("*.py"))
    table = (ROOT / "service/docs/operating.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    listed = re.findall(r"`(token_service_\w+)`", table)

    assert {name.removesuffix("_total") for name in listed} == set(
        re.findall(r'"(token_service_\w+)"', source)
    )


def error_codes(kind: type[ServiceError] = ServiceError) -> Iterator[str]:
    """Give the codes of all errors that are defined as classes."""
    if kind.code:
        yield kind.code
    for below in kind.__subclasses__():
        yield from error_codes(below)


def test_each_error_code_is_explained() -> None:
    table = (ROOT / "service/docs/operating.md").read_text().partition("## What each code means")[2]

    assert {code for code in error_codes() if f"`{code}`" not in table} == set()


UNRUN = {
    "swift": "there is no compiler for it on Debian",
    "kotlin": "there is no compiler for it on Debian",
    "mermaid": "a picture",
}
"""Languages of which no block is run, and why."""


def test_each_block_of_code_is_run_by_a_test() -> None:
    """What is marked by the tests of its mark, and commands by ``test_documented_commands``."""
    marks = {"example", "policy", "file"}
    unmarked = {language for mark, _, language, _ in blocks() if mark not in marks}

    assert unmarked == {"sh", "console", *UNRUN}
