"""The tree keeps its own rules: lint, format, types, layers, sizes, and what is at the top level."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.vendors.dialect import VENDORS
from tests.support.processes import PYTHON, ROOT
from tests.support.tools import require

BIN = Path(PYTHON).parent


def tracked() -> list[str]:
    """List what git holds."""
    require("git")
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


SIZES = {
    "service/__main__.py": "Python's own name for what `python -m` runs",
    "service/client.py": "the contract's name for the companion",
    "service/gunicorn_conf.py": "the contract's name for gunicorn's settings",
    "service/auth/development.py": "used by a command and by the demo, which must not import each other",
    "service/auth/providers/apple.py": "a file for each provider",
    "service/auth/providers/auth0.py": "a file for each provider",
    "service/observe/settings.py": "each package has its own settings",
    "service/vendors/network.py": "imported by settings, and so without what it takes to reach anything",
    "service/serving/command.py": "a command has a module of its own",
    "service/demo/wsgi.py": "gunicorn imports it by name",
    "service/demo/gunicorn_conf.py": "gunicorn imports it by name",
    "service/sandbox/__main__.py": "Python's own name for what `python -m` runs",
    "service/sandbox/ids.py": "imported by all of the sandbox",
    "service/sandbox/worker.py": "gunicorn imports it by name",
    "service/sandbox/sessions/sample_sentences.py": "texts, in scripts that the linter warns about",
    "service/core/errors.py": "one tree, drawn in its docstring",
    "service/companion/client.py": "one file that an app can copy",
    "service/serving/connection.py": "one state machine from a connection's first byte to its last",
    "service/vendors/connections.py": "one connection from its opening to a whole answer, and the pool that keeps it",
    "service/vendors/base.py": "the interface that every vendor implements, on one page",
    "service/calls/endings.py": "one attempt from its claim to its confirmation, with the storage or without it",
    "service/calls/memory_registry.py": "one interface, every operation of which is one step under one lock",
}
"""Modules of fewer than 40 lines, or more than 250, and why each is so."""

LONG_FUNCTIONS = {
    "service/serving/summary.py summary": "a table of what is in force",
    "service/http/responses.py install": "the hooks and handlers of an app, made once",
    "service/vendors/responses.py refusal": "a table of statuses",
    "service/vendors/transport.py send": "every way in which an exchange fails, each with its error",
    "service/app.py create_app": "the one place that names every part",
    "service/auth/command.py issue_jwt": "a command: its options and what it prints",
    "service/calls/memory_registry.py poll": "one step, as it is in Lua",
    "service/calls/memory_registry.py reserve": "one step, as it is in Lua",
    "service/demo/page.py demo_routes": "a blueprint: its views are read one by one",
    "service/http/admin.py admin_routes": "a blueprint: its views are read one by one",
    "service/http/calls.py call_routes": "a blueprint: its views are read one by one",
    "service/observe/call_events.py __init__": "a table of instruments",
    "service/http/pages.py page_routes": "a blueprint: its views are read one by one",
    "service/http/probes.py probe_routes": "a blueprint: its views are read one by one",
    "service/http/routes.py token_routes": "a blueprint: its views are read one by one",
    "service/observe/metrics.py __init__": "a table of instruments",
    "service/policy/explain.py _lines": "the explanation, line by line in its order",
    "service/policy/decide.py decide": "the order of a decision",
    "service/policy/resolve.py resolve": "the order in which defaults are filled in",
    "service/sandbox/server.py _settings": "a table of settings",
}
"""Functions of more than 25 lines of code, and why each is so."""


def modules() -> Iterator[tuple[str, str]]:
    """Read each module of the service."""
    for path in tracked():
        if path.startswith("service/") and path.endswith(".py"):
            yield path, (ROOT / path).read_text()


def test_a_module_has_40_to_250_lines_or_a_reason() -> None:
    """What is read together is in one file, and a file can be read at once; so says the plan of the code."""
    sizes = {path: len(text.splitlines()) for path, text in modules() if not path.endswith("__init__.py")}
    assert {path for path, size in sizes.items() if not 40 <= size <= 250} == SIZES.keys()


def test_a_function_has_25_lines_of_code_at_most_or_a_reason() -> None:
    """Its docstring does not count; what is nested in it does."""
    found = {
        f"{path} {node.name}"
        for path, text in modules()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of_code(node) > 25
    }
    assert found == LONG_FUNCTIONS.keys()


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count from the first statement to the last."""
    statements = function.body[1:] if ast.get_docstring(function, clean=False) else function.body
    first = min((statement.lineno for statement in statements), default=function.end_lineno or 0)
    return (function.end_lineno or 0) - first + 1


VENDORS_MODULES = re.compile(r"service\.vendors\.(openai|openai_beta|openai_calls|azure|xai)")


def test_nothing_outside_the_vendors_package_asks_which_vendor_it_is() -> None:
    """What differs is the vendor's own to say; the sandbox, which imitates one, is another program."""
    found = {
        path
        for path, text in modules()
        if not path.startswith(("service/vendors/", "service/sandbox/"))
        for node in ast.walk(ast.parse(text))
        if asks_for_a_vendor(node)
    }
    assert found == set()


def asks_for_a_vendor(node: ast.AST) -> bool:
    """Tell code that compares a vendor's name, reads it from the settings, or imports one vendor's module."""
    if isinstance(node, ast.Compare | ast.match_case):
        names = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
        return any(name in VENDORS for name in names)
    if isinstance(node, ast.ImportFrom):
        imported = [f"{node.module}.{name.name}" for name in node.names] + [node.module or ""]
        return any(VENDORS_MODULES.fullmatch(name) for name in imported)
    return isinstance(node, ast.Attribute) and node.attr == "openai_vendor"
