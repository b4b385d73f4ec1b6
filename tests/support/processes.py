"""Real processes on loopback, ended by their process id."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
CACHE = Path(tempfile.gettempdir()) / f"token-service-tests-{os.getuid()}"
"""Where the demo keeps its keys and ports in tests: not among those of the developer."""
START_SECONDS = 60.0
"""How long a program may take to start: some install packages first, on a slow machine beside two other tests."""

# Below the range Linux takes source ports from, so that a server that is down for a while finds its port free; and
# each of pytest-xdist's workers (gw0, gw1, ...) has 2,000 of its own, so that no two choose one at the same time.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
SERVER_PORTS = range(15_000, 31_000)[_WORKER % 8 * 2_000 :][:2_000]
STOP_SECONDS = 25.0
_ports: list[int] = []


def free_port() -> int:
    """Find a port that nobody listens on, and that the kernel gives no outgoing connection while it is unused.

    None is found twice before all were: its server may not listen yet.
    """
    while True:
        if not _ports:
            _ports.extend(random.sample(SERVER_PORTS, len(SERVER_PORTS)))
        port = _ports.pop()
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(happened: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait for something to be so, looking every few milliseconds; fail the test when time is up."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.02)


def accepts_connections(port: int) -> bool:
    """Return whether somebody listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process(Protocol):
    """What tests use of ``subprocess.Popen``."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Start(Protocol):
    """How a process is started."""

    def __call__(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        cwd: Path,
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> Process: ...


@dataclass
class Running:
    """A process that was started, and what it has printed so far."""

    process: Process
    log: IO[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return Path(self.log.name).read_text(errors="replace")

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        return self.process.wait(seconds)

    def stop(self) -> None:
        """End it as a platform does: SIGTERM, and SIGKILL for one that does not go."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _ended(run: Running) -> bool:
    raise AssertionError(f"the process ended before it was ready:\n{run.output}")


_ending: list[Running] = []
"""Processes that were asked to end, and that nobody has waited for yet."""


def await_endings() -> None:
    """Wait for all processes that tests have ended; kill those that do not go."""
    while _ending:
        _ending.pop().stop()


def start_alone(
    command: Sequence[str], *, environ: Mapping[str, str], cwd: Path, stdout: IO[bytes], stderr: IO[bytes]
) -> Process:
    """Start a command by itself."""
    return subprocess.Popen(
        command, cwd=cwd, env=dict(environ), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
    )


@contextmanager
def running(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    ready: Callable[[Running], bool],
    cwd: Path = ROOT,
    start: Start = start_alone,
) -> Iterator[Running]:
    """Run a command until the block ends; it is entered once ``ready`` says so.

    Nobody waits for its end but who calls ``stop`` or ``wait``: the next test starts meanwhile.
    """
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        process = start(command, environ=environ, cwd=cwd, stdout=log, stderr=log)
        run = Running(process, log)
        try:

            def is_ready() -> bool:
                return ready(run) or (process.poll() is not None and _ended(run))

            wait_until(is_ready, seconds=START_SECONDS, what=f"the start of {' '.join(command[:4])}")
            yield run
        finally:
            if process.poll() is None:
                process.terminate()
                _ending.append(run)


def shell(line: str, cwd: Path) -> str:
    """Paste a line into a shell in some folder; return what it prints."""
    return _succeed(("sh", "-c", line), cwd=cwd)


def run_program(program: str, environ: Mapping[str, str] | None = None) -> str:
    """Run a program in an interpreter of its own, as one that gevent is to patch; return what it prints."""
    return _succeed((PYTHON, "-c", textwrap.dedent(program)), cwd=ROOT, environ=environ)


def _succeed(command: Sequence[str], *, cwd: Path, environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=dict(environ or bare_environ()),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def bare_environ(**variables: str) -> dict[str, str]:
    """Make an environment with nothing of this machine's own but what a process needs to run at all."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "XDG_CACHE_HOME": str(CACHE),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "default",
        **variables,
    }
