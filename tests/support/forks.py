"""Commands of the service as forks of one process that has imported them: each costs a tenth of an own start.

A fork is a process like any other: it has its own environment, arguments and output, and runs ``python -m service``
from its first line to its exit status. Only what modules do when they are imported has happened before.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from tests.support.processes import PYTHON, ROOT, bare_environ

SECONDS = 60
"""How long a command may take before it is killed, gunicorn included if it becomes that by mistake."""


@dataclass
class Commands:
    """A process that runs commands, one after the other."""

    process: subprocess.Popen[str]

    def run(self, *arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run ``python -m service …`` to its end."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"arguments": arguments, "environ": dict(environ)}) + "\n")
        self.process.stdin.flush()
        return subprocess.CompletedProcess(arguments, **json.loads(self.process.stdout.readline()))


@contextmanager
def forked_commands() -> Iterator[Commands]:
    """Start the process that is forked, until the block ends."""
    with subprocess.Popen(
        (PYTHON, "-m", __name__),
        cwd=ROOT,
        env=bare_environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Commands(process)


def main() -> None:
    """Import the commands, and fork for each line of the standard input; a child returns as the command would."""
    for command in ("service.check.command", "service.serving.command"):
        importlib.import_module(command)
    gc.freeze()
    for line in sys.stdin:
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            pid = os.fork()
            if not pid:
                become(**json.loads(line), stdout=stdout, stderr=stderr)
                return
            _, status = os.waitpid(pid, 0)
            for file in (stdout, stderr):
                file.seek(0)
            result = {
                "returncode": os.waitstatus_to_exitcode(status),
                "stdout": stdout.read().decode(),
                "stderr": stderr.read().decode(),
            }
        print(json.dumps(result), flush=True)  # noqa: T201 - the answer to the line


def become(arguments: list[str], environ: dict[str, str], stdout: IO[Any], stderr: IO[Any]) -> None:
    """Make this process a command with an environment and output of its own."""
    signal.alarm(SECONDS)
    for descriptor, file in enumerate((os.open(os.devnull, os.O_RDONLY), stdout.fileno(), stderr.fileno())):
        os.dup2(file, descriptor)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["service", *arguments]
    try:
        runpy.run_module("service", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        leave(end.code)


def leave(code: str | int | None) -> None:
    """End as https://docs.python.org/3/library/sys.html#sys.exit says, but leave the memory to the kernel.

    To clear it object by object would copy all of it first, which takes as long as all the rest.
    """
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
