"""`python -m tests.benchmark.profiling [NAME]`: where a Python candidate's time goes under load, by py-spy.

Prints the functions in which most samples were taken, and leaves `profile.folded` in the cache's results,
which flame graph viewers read. Needs `py-spy` beside Python and the right to trace one's own processes.
"""
# ruff: noqa: T201 - a command prints

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.support.processes import free_port

from . import load, processes, rounds
from .candidates import CALLS, FASTAPI, FLOOR, LITELLM, SERVICE, SERVICE_REDIS, candidate
from .plan import BUSY

_CACHE = Path(__file__).parents[2] / ".benchmark"
_SECONDS = 8.0
_SHOWN = 60
_IDLE = "acquire_with_timeout (gevent"
"""A thread of gevent's own pool that waits for work; py-spy takes it for busy."""


def main() -> None:
    """Profile one candidate under the busy load."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.profiling", description=__doc__)
    python = (SERVICE, SERVICE_REDIS, CALLS, FLOOR, FASTAPI, LITELLM)
    parser.add_argument(
        "name", nargs="?", choices=python, default=SERVICE, metavar="NAME", help=", ".join(python)
    )
    name = parser.parse_args().name
    folded = _CACHE / "results" / "profile.folded"
    folded.parent.mkdir(parents=True, exist_ok=True)
    with processes.on_other_cores(), rounds.surroundings(_CACHE) as around:
        who = candidate(name, free_port(), around)
        with rounds.started(who, around) as (target, _), _recording(target.pid, folded):
            load.run_wrk(target, BUSY, _SECONDS)
    print(table(folded.read_text()))


def _recording(pid: int, folded: Path) -> "subprocess.Popen[bytes]":
    # An end in front of the load's own, so that py-spy does not sample an idle process.
    command = ["py-spy", "record", "--pid", str(pid), "--subprocesses", "--format", "raw", "--rate", "400"]
    command += ["--duration", f"{_SECONDS - 1:.0f}", "--output", str(folded)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sys.stderr)


def table(folded: str) -> str:
    """Draw the shares of samples: within each function, and within it or what it called."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame for frame in stack.split(";") if not frame.startswith("process ")]
        if not frames or frames[-1].startswith(_IDLE):
            continue
        own[frames[-1]] += int(count)
        for frame in set(frames):
            total[frame] += int(count)
    samples = own.total() or 1
    rows = [
        f"{count / samples:>7.1%} {own[frame] / samples:>7.1%}  {frame}"
        for frame, count in total.most_common(_SHOWN)
    ]
    return "\n".join([f"{'within':>7} {'own':>7}", *rows])


if __name__ == "__main__":
    main()
