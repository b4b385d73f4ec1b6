"""Processes started, watched through /proc, and ended: CPU seconds and bytes of whole trees."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 15.0
_CORES = sorted(os.sched_getaffinity(0))


@contextmanager
def running(
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    log: Path,
    cores: Collection[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a session of its own, printing to `log`; yield it, and end its tree after.

    It is held to `cores`, or, where none are given, to those of this process.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={"PATH": os.environ["PATH"], "HOME": str(directory), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    if cores:
        os.sched_setaffinity(process.pid, cores)
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what outlived its parent is in the parent's session
        process.wait()


def first_cores(number: int) -> list[int]:
    """Return so many of the machine's cores, for a candidate; fewer where it has fewer."""
    return _CORES[:number]


@contextmanager
def on_other_cores() -> Iterator[None]:
    """Hold this process, and what it starts, to all cores but the first one, where there are others."""
    os.sched_setaffinity(0, _CORES[1:] or _CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, _CORES)


def await_port(port: int) -> None:
    """Return once something listens on the loopback port; TimeoutError where nothing does in time."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise TimeoutError(f"nothing listens on port {port}")


def tree(root: int) -> list[int]:
    """Return `root` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it may end while we look
                parent = int(_stat(int(entry.name))[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def cpu_seconds(root: int) -> float:
    """Return the CPU time of the tree under `root` so far, user and system, ended children included."""
    ticks = 0
    for pid in tree(root):
        with suppress(OSError):
            ticks += sum(int(value) for value in _stat(pid)[11:15])  # utime stime cutime cstime
    return ticks / _TICKS


def machine_cpu_seconds() -> float:
    """Return the CPU time that all programs took, and that the host of a virtual machine withheld."""
    user, nice, system, _idle, _iowait, _irq, _softirq, steal, *_ = map(
        int, (_PROC / "stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + steal) / _TICKS


def memory(root: int) -> int:
    """Return the proportional set size of the tree in bytes: shared pages are counted once."""
    return sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in tree(root)) * 1024


def peak_memory(root: int) -> int:
    """Return the sum of each process's highest resident size in bytes; shared pages are counted in each."""
    return sum(_kilobytes(pid, "status", "VmHWM:") for pid in tree(root)) * 1024


def _stat(pid: int) -> list[str]:
    # proc_pid_stat(5): the command's name, in brackets, may hold blanks; all after it does not.
    return (_PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()


def _kilobytes(pid: int, file: str, label: str) -> int:
    with suppress(OSError):
        for line in (_PROC / str(pid) / file).read_text().splitlines():
            if line.startswith(label):
                return int(line.split()[1])
    return 0
