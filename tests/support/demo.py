"""``python -m service demo``, run as its reader runs it, and what it prints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.processes import CACHE, PYTHON, ROOT, Running, bare_environ, free_port, running

COMMAND = (PYTHON, "-m", "service", "demo")


@dataclass
class PrintedDemo:
    """A running demo; each command it prints is whole and alone on its line."""

    run: Running

    @property
    def page(self) -> str:
        return self.run.output.partition("Demo page: ")[2].split()[0]

    @property
    def port(self) -> int:
        return urlsplit(self.page).port or 0

    @property
    def exports(self) -> dict[str, str]:
        """The variables of all lines that begin with ``export``."""
        lines = [shlex.split(line) for line in self.run.output.splitlines() if line.startswith("export ")]
        return dict(word.split("=", 1) for line in lines for word in line[1:])

    def line(self, begins: str) -> str:
        return next(line for line in self.run.output.splitlines() if line.startswith(begins))

    @property
    def curl(self) -> str:
        return self.line("curl ")

    @property
    def connect(self) -> str:
        return self.line("env ")


@contextmanager
def printed_demo(
    *options: str,
    cwd: Path = CACHE,
    named_ports: bool = True,
    prefix: Sequence[str] = (),
    **environ: str,
) -> Iterator[PrintedDemo]:
    """Run the demo until it has printed all it has to say, on free ports that are named unless the test asks not to.

    Its working directory is another than the repository.
    """
    ports = ("--port", str(free_port()), "--sandbox-port", str(free_port())) if named_ports else ()
    command = (*prefix, *COMMAND, *ports, *options)
    CACHE.mkdir(exist_ok=True)
    with running(
        command,
        environ=bare_environ(**{"PYTHONPATH": str(ROOT), **environ}),
        ready=lambda run: "Ctrl-C" in run.output,
        cwd=cwd,
    ) as run:
        yield PrintedDemo(run)
        if not named_ports:
            run.stop()  # the next demo is to find its ports free


def kept_ports(folder: Path) -> Path:
    """Make a cache folder in which a demo has kept free ports; gives the file of keys and ports in it."""
    file = folder / "realtime-token-service" / ".demo.json"
    file.parent.mkdir(parents=True)
    ports = {"service": free_port(), "sandbox": free_port()}
    file.write_text(json.dumps({"keys": {}, "ports": ports}))
    return file


class RestartableDemo:
    """A demo whose keys and ports are kept in a cache folder of its own."""

    def __init__(self, cache: Path, *options: str) -> None:
        kept_ports(cache)
        self._cache = cache
        self._options = options
        self._running = ExitStack()
        self.printed = self._start()

    def restart(self) -> None:
        """End it as Ctrl-C does, and start it again."""
        self.stop()
        self.printed = self._start()

    def stop(self) -> None:
        """End it."""
        self._running.close()

    def _start(self) -> PrintedDemo:
        started = printed_demo(*self._options, named_ports=False, XDG_CACHE_HOME=str(self._cache))
        return self._running.enter_context(started)
