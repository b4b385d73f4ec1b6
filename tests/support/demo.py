"""``python -m service demo``, run as its reader runs it, and what it prints."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
