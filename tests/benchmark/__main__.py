"""`python -m tests.benchmark`: see README.md beside this file."""

# ruff: noqa: T201 - a command prints

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from . import chart, keeping, report, rounds, summary, targets
from .candidates import NAMES
from .load import BenchmarkError

_CACHE = Path(__file__).parents[2] / ".benchmark"
_TOOLS = ("wrk", "redis-server", "redis-cli", "node", "npm")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    options = _parse(arguments)
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        print("not installed:", ", ".join(missing), file=sys.stderr)
        return 2
    _CACHE.mkdir(exist_ok=True)
    try:
        outings = rounds.run(options.only, options.rounds, options.seconds, _CACHE)
    except BenchmarkError as error:
        print(f"{error}; logs are in {_CACHE / 'logs'}", file=sys.stderr)
        return 2
    by_name = summary.best(outings)
    is_whole = set(by_name) == set(NAMES)
    kept = keeping.measure(options.calls, options.keeping_seconds) if is_whole else None
    found = targets.judge(by_name, kept) if kept else []
    where = report.machine()
    print(report.table(by_name, kept))
    if found:
        print(report.verdicts(found))
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "benchmark.json").write_text(report.document(where, outings, kept, found))
    (options.output / "benchmark.svg").write_text(chart.draw(by_name, where))
    return 1 if options.targets and not all(verdict.holds for verdict in found) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of short loads: does it run at all?")
    parser.add_argument("--targets", action="store_true", help="exit with status 1 where a target is missed")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=int, default=4, help="of each load; default: 4")
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES)
    )
    parser.add_argument(
        "--output", type=Path, default=_CACHE / "results", help="folder for the JSON and the picture"
    )
    parser.set_defaults(calls=keeping.OPEN, keeping_seconds=keeping.SECONDS)
    options = parser.parse_args(arguments)
    if options.targets and set(options.only) != set(NAMES):
        parser.error("--targets needs every candidate")
    if options.quick:
        options.rounds, options.seconds, options.calls, options.keeping_seconds = 1, 2, 2_000, 5
    return options


if __name__ == "__main__":
    sys.exit(main())
