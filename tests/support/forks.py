"""Programs of the service as forks of a process that has imported them: each costs a tenth of an own start.

A fork is a process like any other: it has its own environment, arguments, folder and output, and runs ``python -m
MODULE`` from its first line to its exit status. Only what modules do when they are imported has happened before.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO, Any

from tests.support.processes import PYTHON, ROOT, START_SECONDS, Process, bare_environ, start_alone

SERVICE = ("gunicorn",)
OTHERS = ("service", "service.sandbox", "tests.support.attackers")
"""Programs that one process can import together: gevent's patches, which the service needs, break the sandbox."""

IMPORTED = {
    "gunicorn": (
        "flask_cors",
        "gunicorn.workers.ggevent",
        "service.auth.factory",
        "service.calls.factory",
        "service.calls.vendor_calls",
        "service.exchange",
        "service.limits.limiter",
        "service.serving.connection",
        "service.serving.summary",
    ),
    "service": ("service.check.command", "service.serving.command", "service.limits.command"),
    "tests.support.attackers": ("tests.support.tokens",),
    "service.sandbox": ("service.sandbox.app", "service.sandbox.worker", "service.sandbox.server"),
}
"""What has been imported where a program runs as a fork."""
READ_VARIABLES = ("gunicorn.config", "prometheus_client", "service.gunicorn_conf")
"""What reads variables when it is imported, so that each fork of the service does so itself."""
COMMAND_SECONDS = 60
_STATUS_BYTES = 10


@dataclass
class Fork:
    """A process, used as one of ``subprocess.Popen``."""

    pid: int
    args: Sequence[str]
    statuses: int
    """Where its exit status can be read, once it has one."""
    files: ExitStack
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit status; None while it runs."""
        if self.returncode is None and (status := _next(self.statuses, seconds=0)):
            self.returncode = int(status)
            self.files.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its exit status.

        Raises:
            subprocess.TimeoutExpired: when time is up.
        """
        if self.returncode is None:
            select.select([self.statuses], [], [], timeout)
        if (status := self.poll()) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and its status is still on the way here
                os.kill(self.pid, number)


@dataclass
class Forks:
    """A process that has imported a program, and forks for each start of it."""

    process: subprocess.Popen[str]
    lock: Lock = field(default_factory=Lock)

    def start(self, module: str, *arguments: str, **options: Any) -> Fork:
        """Start ``python -m MODULE …`` with the options of ``become``."""
        assert self.process.stdin
        with ExitStack() as files:
            fifo = Path(files.enter_context(tempfile.TemporaryDirectory())) / "statuses"
            os.mkfifo(fifo)
            statuses = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)  # with a writer of our own it has no end
            files.callback(os.close, statuses)
            order = {"fifo": str(fifo), "program": {"module": module, "arguments": arguments, **options}}
            with self.lock:
                self.process.stdin.write(json.dumps(order) + "\n")
                self.process.stdin.flush()
            pid = int(_next(statuses, seconds=START_SECONDS))
            return Fork(pid, (module, *arguments), statuses, files.pop_all())

    def close(self) -> None:
        """End it; what it has started goes on."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def _next(statuses: int, *, seconds: float) -> str:
    """Read what ``tell`` has written, or "" when time is up."""
    ready, _, _ = select.select([statuses], [], [], seconds)
    return os.read(statuses, _STATUS_BYTES).decode() if ready else ""


_open = ExitStack()


@cache
def forks(*programs: str) -> Forks:
    """Start a process that imports some programs, once for all tests of this process."""
    command = (PYTHON, "-m", __name__, *programs)
    started = Forks(subprocess.Popen(command, cwd=ROOT, env=bare_environ(), stdin=subprocess.PIPE, text=True))
    _open.callback(started.close)
    return started


def close_forks() -> None:
    """End the processes that are forked."""
    forks.cache_clear()
    _open.close()


def start_fork(
    command: Sequence[str], *, environ: Mapping[str, str], cwd: Path, stdout: IO[bytes], stderr: IO[bytes]
) -> Process:
    """Start ``python -m …`` as a fork; or by itself, where a variable is another that Python reads at its start."""
    if _of_python(environ) != _of_python(bare_environ()):
        return start_alone(command, environ=environ, cwd=cwd, stdout=stdout, stderr=stderr)
    _, _, module, *arguments = command
    programs = next(each for each in (SERVICE, OTHERS) if module in each)
    options = {"environ": dict(environ), "cwd": str(cwd), "stdout": stdout.name, "stderr": stderr.name}
    return forks(*programs).start(module, *arguments, **options)


def _of_python(environ: Mapping[str, str]) -> dict[str, str]:
    """Take the variables of Python; that it finds this repository is so in every fork."""
    found = {name: value for name, value in environ.items() if name.startswith("PYTHON")}
    return {name: value for name, value in found.items() if (name, value) != ("PYTHONPATH", str(ROOT))}


def run_command(
    *arguments: str, environ: Mapping[str, str], cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m service …`` to its end, as an admin does."""
    command = (PYTHON, "-m", "service", *arguments)
    with tempfile.NamedTemporaryFile() as stdout, tempfile.NamedTemporaryFile() as stderr:
        process = start_fork(command, environ=environ, cwd=cwd, stdout=stdout, stderr=stderr)
        try:
            status = process.wait(COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()  # gunicorn, if it became that by mistake
            process.wait()
            raise
        told = [Path(file.name).read_text() for file in (stdout, stderr)]
        return subprocess.CompletedProcess(command, status, *told)


def main() -> None:
    """Import programs, and fork for each line of the standard input."""
    programs = sys.argv[1:]
    fork = os.fork
    if programs == list(SERVICE):
        from gevent import fork, monkey  # noqa: PLC0415 - not where the sandbox runs

        monkey.patch_all()  # before anything else is imported, as service.gunicorn_conf does
    for program in programs:
        for imported in IMPORTED[program]:
            importlib.import_module(imported)
    assert programs != list(SERVICE) or not sys.modules.keys() & set(READ_VARIABLES)
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends pytest, which closes the standard input
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that run ``tell``
    for line in sys.stdin:
        if not fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            order = json.loads(line)
            if pid := fork():
                tell(order["fifo"], pid)
            become(**order["program"])
            return


def tell(fifo: str, pid: int) -> None:
    """Say which process was started, and in the end its exit status."""
    descriptor = os.open(fifo, os.O_WRONLY)
    os.write(descriptor, f"{pid:{_STATUS_BYTES}}".encode())
    _, status = os.waitpid(pid, 0)
    os.write(descriptor, f"{os.waitstatus_to_exitcode(status):{_STATUS_BYTES}}".encode())
    os._exit(0)


def become(
    *, module: str, arguments: list[str], environ: dict[str, str], cwd: str, stdout: str, stderr: str
) -> None:
    """Make this process a program with an environment, a folder and output of its own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, path in enumerate((os.devnull, stdout, stderr)):
        opened = os.open(path, os.O_RDWR | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if module == "service":
            leave(end.code)
        raise


def leave(code: Any) -> None:
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
