"""The README says what is so."""

from __future__ import annotations

import re

from pydantic import SecretStr

from service.settings import Settings
from tests.support.processes import ROOT

README = (ROOT / "README.md").read_text()


def environment_table() -> dict[str, str]:
    """Read the table of variables: each with the default it states."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \| ", README, re.MULTILINE)
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


def test_the_environment_table_is_equal_to_the_settings() -> None:
    settings = {name: stated(default) for name, default in Settings.variables().items()}

    assert environment_table() == settings | IN_WORDS


def test_each_variable_that_can_be_a_file_is_listed() -> None:
    files = {name for name in Settings.names() if name.endswith("_FILE")}

    assert set(re.findall(r"`([A-Z_]+_FILE)`", README)) - {"SSL_CERT_FILE"} == files


def test_a_default_in_words_is_really_none_in_the_settings() -> None:
    for name in IN_WORDS:
        default = Settings.variables()[name]
        assert default in (None, ()) or str(default) == "PydanticUndefined"
        assert not isinstance(default, SecretStr)


def test_ci_runs_the_readmes_test_command_word_for_word() -> None:
    [command] = [line for line in README.splitlines() if line.endswith("python -m pytest")]

    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_procfile_is_the_contracts_production_command() -> None:
    procfile = (ROOT / "Procfile").read_text()

    assert procfile == "web: exec python -m service serve --no-env-file\n"
