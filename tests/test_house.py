"""The house keeps its own rules: lint, format, types, floors, and what lies at the top."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import PYTHON, ROOT

BIN = Path(PYTHON).parent


def tracked() -> list[str]:
    """List what git holds."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("lint-imports",),
    ],
    ids=" ".join,
)
def test_the_tools_find_nothing(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_top_level_holds_what_it_should_and_nothing_else() -> None:
    top = {path.partition("/")[0] for path in tracked()}

    assert {name for name in top if not name.startswith(".")} == {
        "requirements.txt",
        "service",
        "tests",
        "wsgi.py",
        "Procfile",
        "README.md",
    }


@pytest.mark.parametrize(
    "path",
    [
        "requirements.txt",
        "service/vendors/requirements-azure.txt",
        "service/sandbox/requirements.txt",
        "tests/requirements.txt",
    ],
)
def test_every_requirement_is_pinned(path: str) -> None:
    for line in (ROOT / path).read_text().splitlines():
        if line and not line.startswith(("#", "-r ")):
            assert re.fullmatch(r"[A-Za-z0-9._\-\[\]]+==[0-9.]+(\s+# .+)?", line), line


def test_no_lock_file_names_a_registry() -> None:
    for path in tracked():
        if path.endswith("package-lock.json"):
            assert '"resolved"' not in (ROOT / path).read_text(), path


def test_each_module_stays_small_enough_to_read() -> None:
    for path in (ROOT / "service").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 320, path
