"""What a run leaves behind: a table for the terminal, JSON for machines."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import Any

from . import keeping
from .keeping import Keeping
from .plan import Load, Outing, Sample
from .targets import Verdict

_MEGABYTES = 1024 * 1024
_QUIET = 0.1
"""Cores; where other programs took more than this, the table marks the sample."""


def machine() -> dict[str, Any]:
    """Describe where and when the run was made, and of which commit."""
    model = next(
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    )
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _first_line("git", "rev-parse", "--short", "HEAD"),
        "cpu": model.partition(":")[2].strip(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "node": _first_line("node", "--version"),
    }


def table(by_name: Mapping[str, Outing], kept: Keeping | None = None) -> str:
    """Draw one block for each load, one for starts and memory, and one for keeping calls."""
    loads = dict.fromkeys(sample.load for outing in by_name.values() for sample in outing.samples)
    blocks = [*(_load_block(load, by_name) for load in loads), _keep_block(by_name)]
    return "\n\n".join([*blocks, *([keeping.rows(kept)] if kept else [])])


def verdicts(found: Sequence[Verdict]) -> str:
    """Draw one line for each target."""
    lines = [
        f"{'✓' if verdict.holds else '✗'} {verdict.what:<66} {verdict.found:>8.2f}   {verdict.bound}"
        for verdict in found
    ]
    return "\n".join(["", "targets", *lines])


def document(
    where: Mapping[str, Any], outings: Sequence[Outing], kept: Keeping | None, found: Sequence[Verdict]
) -> str:
    """Return everything that was measured as JSON; times in seconds, memory in bytes."""
    content = {
        "machine": where,
        "outings": [asdict(outing) for outing in outings],
        "keeping": asdict(kept) if kept else None,
        "targets": [asdict(verdict) | {"found": _or_null(verdict.found)} for verdict in found],
    }
    return json.dumps(content, indent=1) + "\n"


def _or_null(figure: float) -> float | None:
    return None if isnan(figure) else figure  # JSON knows no NaN


def _load_block(load: Load, by_name: Mapping[str, Outing]) -> str:
    head = f"{load!s:<38} {'mints/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>7} {'failed':>7}"
    return "\n".join([head, *_load_rows(load, by_name)])


def _load_rows(load: Load, by_name: Mapping[str, Outing]) -> Iterator[str]:
    for name, outing in by_name.items():
        for sample in outing.samples:
            if sample.load == load:
                yield _load_row(name, sample)


def _load_row(name: str, sample: Sample) -> str:
    noise = f"  ({sample.foreign_cpu:.1f} cores were taken by others)" if sample.foreign_cpu > _QUIET else ""
    return (
        f"  {name:<36} {sample.mints_per_second:>8.0f} {sample.p50 * 1000:>8.1f} {sample.p99 * 1000:>8.1f}"
        f" {sample.cpu_per_mint * 1000:>7.2f} {sample.failures:>7}{noise}"
    )


def _keep_block(by_name: Mapping[str, Outing]) -> str:
    head = f"{'':<38} {'cold start s':>13} {'memory MB':>10} {'highest MB':>11}"
    rows = [
        f"  {name:<36} {outing.cold_start:>13.2f} {outing.memory / _MEGABYTES:>10.0f}"
        f" {outing.peak_memory / _MEGABYTES:>11.0f}"
        for name, outing in by_name.items()
    ]
    return "\n".join([head, *rows])


def _first_line(*command: str) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    return finished.stdout.partition("\n")[0] if finished.returncode == 0 else "unknown"
