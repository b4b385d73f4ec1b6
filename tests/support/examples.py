"""The README's examples: read from it, and run as its readers run them, in processes and pages of their own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tests.support.http_server import Quiet, serving
from tests.support.processes import PYTHON, ROOT, bare_environ, free_port, running
from tests.support.turns import one_at_a_time

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page

README = ROOT / "README.md"
PROGRAMS = ROOT / "tests" / "examples"
NODE = ("node", "--import", "./websocket.mjs", "--input-type=module", "-")
_RUN_SECONDS = 60.0
_EXAMPLE = re.compile(r"<!-- example: ([\w-]+) -->\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def examples() -> dict[str, str]:
    """Read the README's code below each marker ``<!-- example: NAME -->``, by name."""
    return dict(_EXAMPLE.findall(README.read_text()))


def program(path: str) -> str:
    """Read a program beside the tests of the examples."""
    return (PROGRAMS / path).read_text()


def run(command: Sequence[str], text: str, environ: Mapping[str, str], *, cwd: Path = ROOT) -> str:
    """Run a program read from standard input, which must succeed and complain of nothing; return what it printed."""
    ended = subprocess.run(
        command,
        input=text,
        env=dict(environ),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr + ended.stdout
    return ended.stdout


def python(text: str, environ: Mapping[str, str]) -> str:
    """Run a Python program from the repository's root."""
    return run((PYTHON, "-"), text, environ)


def node(text: str, environ: Mapping[str, str]) -> str:
    """Run a Node program among the installed packages."""
    return run(NODE, text, environ, cwd=PROGRAMS)


def install_node_packages(folder: Path = PROGRAMS, *options: str) -> None:
    """Run ``npm ci`` where the packages are missing or older than the lock file."""
    lock = folder / "package-lock.json"
    installed = folder / "node_modules" / ".package-lock.json"
    with one_at_a_time("npm-ci"):
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            subprocess.run(("npm", "ci", "--no-audit", "--no-fund", *options), cwd=folder, check=True)


@dataclass(frozen=True)
class Demo:
    """The demo's two servers; ``certificate`` is the one to trust, over TLS."""

    url: str
    sandbox_url: str
    certificate: str | None

    def visitor(self) -> str:
        """Sign in: the demo page gives everyone a JWT of their own, so that they share no limit."""
        page = requests.get(f"{self.url}/demo", verify=self.certificate or True, timeout=10)
        (jwt,) = re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", page.text)
        return str(jwt)

    def environ(self) -> dict[str, str]:
        """Make the environment that the README tells its readers to have."""
        trust = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS") if self.certificate else ()
        return bare_environ(
            TOKEN_SERVICE=self.url,
            JWT=self.visitor(),
            OPENAI_BASE_URL=self.sandbox_url,
            **dict.fromkeys(trust, self.certificate or ""),
        )


@contextmanager
def running_demo(*options: str) -> Iterator[Demo]:
    """Run ``python -m service demo`` on free ports."""
    port, sandbox_port = free_port(), free_port()
    command = (PYTHON, "-m", "service", "demo", "--port", str(port), "--sandbox-port", str(sandbox_port))
    with running(
        (*command, *options), environ=bare_environ(), ready=lambda run: "Ctrl-C ends" in run.output
    ) as run:
        url = run.output.partition("Demo page: ")[2].split()[0].removesuffix("/demo")
        trusted = re.search(r"--cacert (\S+)", run.output)
        scheme = url.partition(":")[0]
        yield Demo(url, f"{scheme}://127.0.0.1:{sandbox_port}/v1", trusted.group(1) if trusted else None)


@contextmanager
def running_origin() -> Iterator[str]:
    """Serve the programs and the packages of Node as an app on an origin of its own; gives the origin."""

    class Handler(Quiet, SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(PROGRAMS))

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
