"""``requirements.txt`` alone serves production; the sandbox says which command installs what it needs beside it."""

from __future__ import annotations

import re
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support.forks import run_command
from tests.support.processes import ROOT, bare_environ, free_port
from tests.support.service import Sandbox, running_service

_BLOCKER = '''
import sys

class Blocker:
    """Makes packages look as if they were not installed, to ``import`` and to ``importlib.metadata``."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

    def find_distributions(self, context):
        return ()

sys.meta_path.insert(0, Blocker())

import importlib.metadata
_installed = importlib.metadata.version

def version(name):
    if name.lower() in {distributions}:
        raise importlib.metadata.PackageNotFoundError(name)
    return _installed(name)

importlib.metadata.version = version
'''


def _pinned(path: Path) -> set[str]:
    """Names of the distributions that a requirements file pins itself, as the metadata spells them."""
    names = re.findall(r"^([A-Za-z0-9._-]+)(?:\[\w+\])?==", path.read_text(), re.MULTILINE)
    return {_normal(name) for name in names}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture
def production(tmp_path: Path) -> dict[str, str]:
    """Variables under which Python imports nothing that ``requirements.txt`` does not name."""
    allowed = _pinned(ROOT / "requirements.txt")
    owners = {module: {_normal(name) for name in names} for module, names in packages_distributions().items()}
    modules = {module for module, names in owners.items() if not names & allowed}
    distributions = {name for names in owners.values() for name in names} - allowed
    assert {"flask_sock", "trustme", "pytest"} <= modules
    (tmp_path / "sitecustomize.py").write_text(_BLOCKER.format(modules=modules, distributions=distributions))
    return {"PYTHONPATH": str(tmp_path)}


def test_production_needs_requirements_txt_alone(production: dict[str, str], sandbox: Sandbox) -> None:
    """The service starts, mints and answers probes with everything else out of reach."""
    with running_service(sandbox.base_url, **production) as service:
        assert service.token().status_code == 200
        assert service.get("/readyz").ok
        assert service.get("/docs/limits").ok


@pytest.mark.parametrize("command", ["check", "limits", "policy", "issue-jwt", "connect", "sandbox", "demo"])
def test_every_command_explains_itself_in_production(production: dict[str, str], command: str) -> None:
    """Also those that then need more."""
    helped = run_command(command, "--help", environ=bare_environ(**production))
    assert (helped.returncode, helped.stderr) == (0, "")


@pytest.mark.parametrize("command", ["sandbox --port", "demo --port", "connect --call --jwt x --token-url"])
def test_what_needs_the_sandboxs_packages_names_the_line_that_installs_them(
    production: dict[str, str], command: str
) -> None:
    """One line, not a traceback."""
    port = str(free_port())
    value = f"http://127.0.0.1:{port}/token" if "url" in command else port
    refused = run_command(*command.split(), value, environ=bare_environ(**production))
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert re.search(r"Run: \S+ -m pip install -r \S+/service/sandbox/requirements\.txt$", line)


def test_the_sandboxs_requirements_begin_with_the_services() -> None:
    """So one file installs both; the tests' file includes it in turn."""
    sandbox = (ROOT / "service/sandbox/requirements.txt").read_text().splitlines()
    tests = (ROOT / "tests/requirements.txt").read_text().splitlines()
    assert sandbox[0] == "-r ../../requirements.txt"
    assert "-r ../service/sandbox/requirements.txt" in tests
    only = [_pinned(ROOT / path) for path in ("requirements.txt", "service/sandbox/requirements.txt")]
    assert not only[0] & only[1]
