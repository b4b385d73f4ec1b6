"""The benchmark's judgement is sound: what it sums up, holds against targets, and draws."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.processes import free_port
from tests.support.redis import running_redis
from tests.support.tools import require

from . import chart, processes, profiling, report, rounds, summary, targets
from .candidates import (
    CALLS,
    EXPRESS,
    EXPRESS_UNPINNED,
    FASTAPI,
    FLOOR,
    LITELLM,
    NAMES,
    OWN_FLOOR,
    SERVICE,
    SERVICE_REDIS,
    SERVICE_TWO,
    SERVICE_UNPINNED,
    Surroundings,
)
from .keeping import Keeping
from .load import Upstream
from .plan import BUSY, DISTANT, HELD, STANDARD, Candidate, Load, Outing, Sample

MEGABYTE = 1024 * 1024


def sample(load: Load = BUSY, **changed: Any) -> Sample:
    """Take a sample that meets every target, but for what is changed."""
    good = Sample(
        load=BUSY,
        mints_per_second=1600,
        p50=0.31,
        p99=0.02,
        cpu_per_mint=0.0006,
        failures=0,
        peak_in_flight=505,
        redis_round_trips_per_mint=2,
        foreign_cpu=0,
    )
    return replace(good, load=load, **changed)


def outing(name: str, *samples: Sample, memory: int = 60 * MEGABYTE, cold_start: float = 0.5) -> Outing:
    """Weigh a candidate."""
    return Outing(name, cold_start, memory, memory, samples)


@pytest.fixture
def good() -> dict[str, Outing]:
    """A run in which every target holds."""
    return {
        SERVICE: outing(SERVICE, sample(), sample(DISTANT, p99=0.5)),
        SERVICE_REDIS: outing(SERVICE_REDIS, sample(mints_per_second=1000)),
        CALLS: outing(CALLS, sample(cpu_per_mint=0.0008, redis_round_trips_per_mint=3)),
        SERVICE_TWO: outing(SERVICE_TWO, sample(), sample(HELD)),
        FLOOR: outing(FLOOR, sample(cpu_per_mint=0.0004)),
        OWN_FLOOR: outing(OWN_FLOOR, sample(cpu_per_mint=0.0002)),
        EXPRESS: outing(EXPRESS, sample(mints_per_second=1000, p99=0.05)),
        FASTAPI: outing(FASTAPI, sample(mints_per_second=450)),
        SERVICE_UNPINNED: outing(SERVICE_UNPINNED, sample(cpu_per_mint=0.0006)),
        EXPRESS_UNPINNED: outing(EXPRESS_UNPINNED, sample(cpu_per_mint=0.0013)),
        LITELLM: outing(LITELLM, sample(mints_per_second=150), memory=360 * MEGABYTE),
    }


KEPT = Keeping(
    calls=10_000,
    idle_share=0.006,
    check_cpu=0.003,
    due=2000,
    ended=2000,
    late_p50=0.2,
    late_p99=0.4,
    ending_share=0.4,
    memory=1500,
    redis_memory=900,
)
"""What keeping calls may cost."""


def missed(by_name: dict[str, Outing], kept: Keeping = KEPT) -> list[str]:
    """Name the targets that do not hold."""
    return [verdict.what for verdict in targets.judge(by_name, kept) if not verdict.holds]


def test_a_run_within_every_bound_misses_no_target(good: dict[str, Outing]) -> None:
    """All targets are judged, and all hold."""
    assert len(targets.judge(good, KEPT)) == 21
    assert missed(good) == []


@pytest.mark.parametrize(
    ("name", "worse", "target"),
    [
        (
            SERVICE,
            outing(SERVICE, sample(mints_per_second=1400), sample(DISTANT, p99=0.5)),
            "throughput to Express",
        ),
        (SERVICE, outing(SERVICE, sample(p99=0.06), sample(DISTANT, p99=0.5)), "p99 to Express"),
        (SERVICE, outing(SERVICE, sample(cpu_per_mint=0.00065), sample(DISTANT, p99=0.5)), "CPU a mint"),
        (SERVICE, outing(SERVICE, sample(), sample(DISTANT, p50=0.35, p99=0.5)), "p50 to the latency"),
        (SERVICE, outing(SERVICE, sample(), sample(DISTANT, p99=0.61)), "p99 to the latency"),
        (SERVICE, outing(SERVICE, sample(failures=1), sample(DISTANT, p99=0.5)), "mints of ours that failed"),
        (SERVICE, outing(SERVICE, sample(), sample(DISTANT, p99=0.5), cold_start=1), "cold start"),
        (
            SERVICE,
            outing(SERVICE, sample(), sample(DISTANT, p99=0.5), memory=91 * MEGABYTE),
            "memory after load",
        ),
        (SERVICE_TWO, outing(SERVICE_TWO, sample(), sample(HELD, peak_in_flight=499)), "in flight upstream"),
        (SERVICE_TWO, outing(SERVICE_TWO, sample(), sample(HELD), memory=512 * MEGABYTE), "highest memory"),
        (SERVICE_REDIS, outing(SERVICE_REDIS, sample(redis_round_trips_per_mint=3)), "Redis round trips"),
        (SERVICE_REDIS, outing(SERVICE_REDIS, sample(mints_per_second=900)), "throughput with Redis"),
        (CALLS, outing(CALLS, sample(cpu_per_mint=0.00091)), "CPU of opening a call"),
        (CALLS, outing(CALLS, sample(redis_round_trips_per_mint=4)), "Redis round trips an opening"),
        (FASTAPI, outing(FASTAPI, sample(mints_per_second=540)), "throughput to FastAPI"),
        (EXPRESS_UNPINNED, outing(EXPRESS_UNPINNED, sample(cpu_per_mint=0.0011)), "CPU a mint to Express"),
        (
            LITELLM,
            outing(LITELLM, sample(mints_per_second=201), memory=360 * MEGABYTE),
            "throughput to LiteLLM",
        ),
    ],
)
def test_each_target_is_missed_alone(good: dict[str, Outing], name: str, worse: Outing, target: str) -> None:
    """One figure out of bounds misses one target, and no other."""
    [what] = missed({**good, name: worse})
    assert what.startswith(target)


@pytest.mark.parametrize(
    ("worse", "target"),
    [
        ({"idle_share": 0.01}, "% of a core for 10000 open calls"),
        ({"late_p99": 1.0}, "lateness of endings at p99"),
        ({"ended": 1999}, "calls that were due and did not end"),
        ({"memory": 2048}, "memory of a call"),
    ],
)
def test_each_target_of_keeping_calls_is_missed_alone(
    good: dict[str, Outing], worse: dict[str, Any], target: str
) -> None:
    """They are judged with the others, so that `--targets` fails for them, too."""
    [what] = missed(good, replace(KEPT, **worse))
    assert what.startswith(target)


def test_against_a_peer_that_answered_nothing_no_target_holds(good: dict[str, Outing]) -> None:
    """A broken peer must not look like a slow one."""
    silent = outing(EXPRESS, sample(mints_per_second=0, p99=0))
    assert [what.partition(",")[0] for what in missed({**good, EXPRESS: silent})] == [
        "throughput to Express's",
        "p99 to Express's",
    ]


def test_rounds_are_summed_up_by_the_best_and_no_failure_is_lost() -> None:
    """A disturbed round moves no figure; one that held more memory than others does not either, and failures show."""
    rates = (900, 1000, 100)
    rounds = [
        replace(
            outing(SERVICE, sample(mints_per_second=rate, p99=1 / rate, failures=rate == 100)), memory=rate
        )
        for rate in rates
    ]
    together = summary.best(rounds)[SERVICE]
    assert together.memory == 900
    assert together.under(BUSY).mints_per_second == 1000
    assert together.under(BUSY).p99 == 0.001
    assert together.under(BUSY).failures == 1


def test_what_is_compared_in_pairs_alternates_apart_and_twice_as_often() -> None:
    """The best of more rounds is nearer to what a candidate takes on a quiet machine; nobody is left out."""
    others, on_redis, unpinned = rounds.groups(NAMES, 3)
    assert sorted([*others.names, *on_redis.names, *unpinned.names]) == sorted(NAMES)
    assert set(on_redis.names) == {SERVICE_REDIS, CALLS}
    assert set(unpinned.names) == {SERVICE_UNPINNED, EXPRESS_UNPINNED}
    assert [group.rounds for group in (others, on_redis, unpinned)] == [3, 6, 6]
    assert [group.names for group in rounds.groups([SERVICE], 1)] == [[SERVICE]]


def test_what_is_written_can_be_read(good: dict[str, Outing]) -> None:
    """The JSON and the picture are well-formed, and the table names every candidate."""
    require("node")
    where = report.machine()
    content = json.loads(report.document(where, list(good.values()), KEPT, targets.judge(good, KEPT)))
    assert content["keeping"]["late_p99"] == 0.4
    assert {found["candidate"] for found in content["outings"]} == set(NAMES)
    picture = ET.fromstring(chart.draw(good, where))  # noqa: S314 - it is our own
    bars = [element for element in picture.iter() if element.tag.endswith("rect")]
    assert len(bars) == 5 * len(NAMES)
    drawn = report.table(good, KEPT)
    assert all(name in drawn for name in (*NAMES, "keeping 10000 open calls", "one check", "2000 of 2000"))


def test_a_profile_is_shared_out_by_function() -> None:
    """A function's own share is apart from that of what it calls; idle threads do not count."""
    lines = ["process 7;main (a.py:1);work (a.py:2) 3", "process 7;main (a.py:1) 1"]
    idle = "process 7;get (q.py:1);acquire_with_timeout (gevent/_threading.py:36) 9"
    rows = [row.split() for row in profiling.table("\n".join([*lines, idle])).splitlines()[1:]]
    assert [row[:3] for row in rows] == [["100.0%", "25.0%", "main"], ["75.0%", "75.0%", "work"]]


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    """The stand-in, running."""
    port = free_port()
    command = (sys.executable, str(Path(__file__).with_name("upstream.py")), str(port))
    with processes.running(command, directory=tmp_path, environment={}, log=tmp_path / "log"):
        processes.await_port(port)
        yield Upstream(port)


def test_the_stand_in_mints_only_for_a_key_and_counts_what_it_served(upstream: Upstream) -> None:
    """A call without a key is refused, and is not a mint."""
    require("curl")
    url = f"http://127.0.0.1:{upstream.port}/v1/realtime/client_secrets"
    upstream.control(0.01)
    curl = ["curl", "--silent", "--data", "{}", "--write-out", "\n%{http_code}", url]
    refused = subprocess.run(curl, capture_output=True, text=True, check=True).stdout
    with_key = [*curl, "--header", "Authorization: Bearer sk-test"]
    body, _, status = subprocess.run(with_key, capture_output=True, text=True, check=True).stdout.rpartition(
        "\n"
    )
    assert refused.endswith("\n401")
    assert status == "200"
    assert json.loads(body)["value"].startswith("ek_")
    counters = upstream.settle()
    assert (counters["served"], counters["peak_in_flight"], counters["in_flight"]) == (1, 1, 0)


def test_a_candidate_finds_redis_empty(upstream: Upstream, tmp_path: Path) -> None:
    """The calls that one has opened are no work for the next: a service checks and ends those of others, too."""
    port = free_port()
    minting = Candidate(
        name="the stand-in itself",
        port=port,
        command=(sys.executable, str(Path(__file__).with_name("upstream.py")), str(port)),
        directory=tmp_path,
        environment={},
        tokens=("sk-test",),
        path="/v1/realtime/client_secrets",
        authenticates=False,
        pinned=False,
    )
    with running_redis() as redis:
        redis.client.set("opened", "by another")
        around = Surroundings(tmp_path, tmp_path, upstream.port, redis.port)
        with rounds.started(minting, around) as (target, cold_start):
            assert target.url == f"http://127.0.0.1:{port}/v1/realtime/client_secrets"
            assert 0 < cold_start < 60
            assert redis.client.keys() == []


def test_a_tree_is_weighed_whole(tmp_path: Path) -> None:
    """A child's CPU time and memory are its parent's tree's, before and after it ends."""
    burn = "import time\nwhile time.process_time() < 0.4: pass\n"  # more than is asked for: /proc rounds down
    script = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {burn!r}]); time.sleep(60)"
    command = (sys.executable, "-c", script)
    with processes.running(command, directory=tmp_path, environment={}, log=tmp_path / "log") as process:
        _until(lambda: processes.cpu_seconds(process.pid) >= 0.3)
        _until(lambda: processes.tree(process.pid) == [process.pid])
        assert processes.cpu_seconds(process.pid) >= 0.3
        assert MEGABYTE < processes.memory(process.pid) <= processes.peak_memory(process.pid)
    assert not Path(f"/proc/{process.pid}").exists()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_standard_loads_include_the_two_that_targets_judge() -> None:
    """Every candidate is under each of the six."""
    assert len(STANDARD) == 6
    assert {BUSY, DISTANT} <= set(STANDARD)


def test_the_busy_load_runs_twice_as_long_and_a_slow_upstream_has_time_to_answer() -> None:
    """So that a burst of answers more or less is a small part of the rate that candidates are compared by."""
    assert BUSY.stretched(4) == 8
    assert Load(0.0, 256).stretched(4) == 4
    assert DISTANT.stretched(4) == 7
