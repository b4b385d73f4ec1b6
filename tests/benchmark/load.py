"""One load against one candidate: what wrk saw, beside what /proc and the upstream counted meanwhile."""

import http.client
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import processes
from .plan import Load, Sample

BODY = json.dumps(
    {
        "session": {
            "type": "realtime",
            "model": "gpt-realtime-2.1",
            "instructions": "Be kind and brief.",
            "audio": {"output": {"voice": "marin"}},
        }
    }
)
_SCRIPT = Path(__file__).with_name("load.lua")
_PATIENCE = 30.0
_QUIET_SECONDS = 0.3


class BenchmarkError(RuntimeError):
    """The benchmark cannot go on; the message says why."""


@dataclass(frozen=True)
class Upstream:
    """The running stand-in."""

    port: int

    def control(self, latency: float | None = None) -> dict[str, Any]:
        """Read the counters; with a `latency` in seconds, set it and start them anew."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        if latency is None:
            connection.request("GET", "/control")
        else:
            connection.request("POST", "/control", json.dumps({"latency": latency}))
        counters: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return counters

    def settle(self) -> dict[str, Any]:
        """Wait until no call has come or gone for a while, and return the counters.

        When wrk hangs up, a candidate still works off what it has read, and ends the calls whose clients have left;
        that must not burden the next load.
        """
        deadline = time.monotonic() + _PATIENCE
        counters, before = self.control(), None
        while counters["in_flight"] or counters != before:
            if time.monotonic() > deadline:
                raise BenchmarkError("the candidate goes on calling upstream after its load has ended")
            time.sleep(_QUIET_SECONDS)
            counters, before = self.control(), counters
        return counters


@dataclass(frozen=True)
class Target:
    """A running candidate and what stands around it; `tokens` is a file with one a line."""

    url: str
    pid: int
    tokens: Path
    upstream: Upstream
    redis_port: int
    body: str = BODY


def take(target: Target, load: Load, seconds: float) -> Sample:
    """Put `load` on `target` for so many seconds."""
    target.upstream.settle()
    target.upstream.control(load.latency)
    before = _Usage.of(target)
    seen = run_wrk(target, load, seconds)
    counters = target.upstream.control()  # at once: calls whose clients have left are ended from now on
    used = _Usage.of(target) - before
    minted = max(1, counters["served"])
    return Sample(
        load=load,
        mints_per_second=(seen["answers"] - seen["refused"]) / (seen["microseconds"] / 1e6),
        p50=seen["p50_us"] / 1e6,
        p99=seen["p99_us"] / 1e6,
        cpu_per_mint=used.candidate / minted,
        failures=seen["refused"] + seen["broken"],
        peak_in_flight=counters["peak_in_flight"],
        redis_round_trips_per_mint=used.redis_reads / minted,
        foreign_cpu=(used.machine - used.ours) / used.clock,
    )


def run_wrk(target: Target, load: Load, seconds: float) -> dict[str, int]:
    """Run wrk and return what its script counted."""
    command = (
        f"wrk --threads 1 --connections {load.connections} --duration {seconds:.0f}s --timeout 10s".split()
    )
    command += ["--script", str(_SCRIPT), target.url, "--", str(target.tokens), target.body]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    lines = finished.stdout.splitlines()
    if finished.returncode or not lines:
        raise BenchmarkError(f"wrk failed: {finished.stderr or finished.stdout}")
    seen: dict[str, int] = json.loads(lines[-1])
    return seen


@dataclass(frozen=True)
class _Usage:
    """Readings of everything that only grows."""

    clock: float
    candidate: float
    ours: float
    machine: float
    redis_reads: int

    @classmethod
    def of(cls, target: Target) -> "_Usage":
        return cls(
            clock=time.monotonic(),
            candidate=processes.cpu_seconds(target.pid),
            ours=processes.cpu_seconds(os.getpid()),
            machine=processes.machine_cpu_seconds(),
            redis_reads=_redis_reads(target.redis_port),
        )

    def __sub__(self, other: "_Usage") -> "_Usage":
        return _Usage(
            clock=self.clock - other.clock,
            candidate=self.candidate - other.candidate,
            ours=self.ours - other.ours,
            machine=self.machine - other.machine,
            redis_reads=self.redis_reads - other.redis_reads,
        )


def _redis_reads(port: int) -> int:
    """Return how often Redis has read from its clients: once a round trip, whatever a script runs."""
    command = ["redis-cli", "-p", str(port), "INFO", "stats"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE).stdout
    return int(answer.split("total_reads_processed:")[1].split()[0])
