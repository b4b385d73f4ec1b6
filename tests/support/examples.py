"""The documentation's examples, run as its readers run them: in processes, folders and pages of their own."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tests.support.demo import printed_demo
from tests.support.http_server import Quiet, serving
from tests.support.processes import PYTHON, ROOT, bare_environ
from tests.support.turns import one_at_a_time

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page

PROGRAMS = ROOT / "tests" / "examples"
NODE = ("node", "--import", "./websocket.mjs", "--input-type=module", "-")
_RUN_SECONDS = 60.0


def program(path: str) -> str:
    """Read a program beside the tests of the examples."""
    return (PROGRAMS / path).read_text()


def run(
    command: Sequence[str],
    text: str,
    environ: Mapping[str, str],
    *,
    files: Mapping[str, str] | None = None,
    links: Sequence[str] = (),
) -> str:
    """Run a program read from standard input, which must succeed and complain of nothing; return what it printed.

    It runs in a folder of its own, with these files, and links to those of ``PROGRAMS``.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (files or {}).items():
            (Path(folder) / name).write_text(content)
        for name in links:
            (Path(folder) / name).symlink_to(PROGRAMS / name)
        ended = subprocess.run(
            command,
            input=text,
            env=dict(environ),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr + ended.stdout
    return ended.stdout


def python(text: str, environ: Mapping[str, str]) -> str:
    """Run a Python program that finds this repository's packages."""
    return run((PYTHON, "-"), text, {"PYTHONPATH": str(ROOT), **environ})


def node(text: str, environ: Mapping[str, str]) -> str:
    """Run a Node program among the installed packages."""
    return run(NODE, text, environ, links=("node_modules", "package.json", "websocket.mjs"))


def install_node_packages(folder: Path = PROGRAMS, *options: str) -> None:
    """Run ``npm ci`` where the packages are missing or older than the lock file."""
    lock = folder / "package-lock.json"
    installed = folder / "node_modules" / ".package-lock.json"
    with one_at_a_time("npm-ci"):
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            subprocess.run(("npm", "ci", "--no-audit", "--no-fund", *options), cwd=folder, check=True)


def build_with_vite(folder: Path, packages: Path, *options: str) -> None:
    """Build the app in a folder into its ``dist``, with the packages that were installed in another."""
    (folder / "node_modules").symlink_to(packages / "node_modules")
    vite = ("node", "node_modules/vite/bin/vite.js", "build", *options)
    with one_at_a_time("react"):
        built = subprocess.run(
            vite, cwd=folder, env=bare_environ(), capture_output=True, text=True, check=False
        )
    assert built.returncode == 0, built.stdout + built.stderr


@dataclass(frozen=True)
class Demo:
    """The demo's two servers, by the variables that it prints as lines to paste."""

    exports: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.exports["TOKEN_SERVICE"]

    @property
    def sandbox_url(self) -> str:
        return self.exports["OPENAI_BASE_URL"]

    @property
    def certificate(self) -> str | None:
        """The certificate to trust, over TLS."""
        return self.exports.get("SSL_CERT_FILE")

    def visitor(self) -> str:
        """Sign in: the demo page gives everyone a JWT of their own, so that they share no limit."""
        page = requests.get(f"{self.url}/demo", verify=self.certificate or True, timeout=10)
        (jwt,) = re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", page.text)
        return str(jwt)

    def environ(self) -> dict[str, str]:
        """Make the environment of a shell into which the lines were pasted, with a JWT of this caller's own."""
        return bare_environ(**{**self.exports, "JWT": self.visitor()})


@contextmanager
def running_demo(*options: str) -> Iterator[Demo]:
    """Run ``python -m service demo`` on free ports."""
    with printed_demo(*options) as demo:
        yield Demo(demo.exports)


@contextmanager
def running_origin(folder: Path = PROGRAMS) -> Iterator[str]:
    """Serve a folder, such as the programs and the packages of Node, as an app on its own origin; gives the origin."""

    class Handler(Quiet, SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

    with serving(Handler) as origin:
        yield origin


@dataclass
class Tab:
    """A browser's tab that runs the scripts of a page."""

    page: Page

    def run(self, script: str, *, at: str, **globals_: Any) -> list[str]:
        """Run a module script on a page until its WebSocket has closed; return what it logged.

        The page is one on loopback, since Chromium lets no other connect to loopback.
        """
        logged, uncaught = self._listen(at, globals_)
        with self.page.expect_websocket() as opened:
            self.page.add_script_tag(content=script, type="module")
        if not opened.value.is_closed():
            opened.value.wait_for_event("close")
        assert uncaught == []
        return logged

    def run_call(self, script: str, *, at: str, **globals_: Any) -> list[str]:
        """Run a module script on a page until it logs that its call has ended; return what it logged."""
        logged, uncaught = self._listen(at, globals_)
        with self.page.expect_console_message(lambda message: message.text.startswith("ended")):
            self.page.add_script_tag(content=script, type="module")
        assert uncaught == []
        return logged

    def _listen(self, at: str, globals_: dict[str, Any]) -> tuple[list[str], list[str]]:
        """Open the page; return the lists that what it logs, and what it does not catch, will be in."""
        logged: list[str] = []
        uncaught: list[str] = []

        def on_console(message: ConsoleMessage) -> None:
            if message.type == "log":
                logged.append(message.text)

        self.page.goto(at)
        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: uncaught.append(str(error)))
        self.page.evaluate("(given) => Object.assign(globalThis, given)", globals_)
        return logged, uncaught
