"""Runs the rounds: each candidate in its turn is started, warmed, loaded, weighed and ended."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from tests.support.processes import free_port

from . import load, processes
from .candidates import ON_REDIS, UNPINNED, Surroundings, candidate
from .load import BenchmarkError, Target, Upstream
from .plan import DISTANT, Candidate, Load, Outing

_START_PATIENCE = 60.0
_WARMING = Load(latency=0.0, connections=DISTANT.connections)
_WARMING_SECONDS = 2.0
_REFUSALS = (http.client.UNAUTHORIZED, http.client.BAD_REQUEST)  # LiteLLM answers an unknown key with 400


def run(names: Sequence[str], rounds: int, seconds: float, cache: Path) -> list[Outing]:
    """Return every outing of every round; candidates alternate, and every other round runs backwards.

    Two pairs whose members are compared with each other, under one load alone, follow with twice as many rounds: of
    more, the best is nearer to a quiet one.
    """
    outings = []
    for group in groups(names, rounds):
        with group.place(), surroundings(cache) as around:
            for number in range(group.rounds):
                for name in group.names if number % 2 == 0 else reversed(group.names):
                    sys.stderr.write(f"round {number + 1} of {group.rounds}: {name}\n")
                    outings.append(_outing(candidate(name, free_port(), around), around, seconds))
    return outings


@dataclass(frozen=True)
class Group:
    """Candidates that alternate, in so many rounds; `place` says on which cores all around them runs."""

    names: Sequence[str]
    rounds: int
    place: Callable[[], AbstractContextManager[None]] = processes.on_other_cores


def groups(names: Sequence[str], rounds: int) -> tuple[Group, ...]:
    """Part those of `names` that are compared with each other alone from the others; empty groups are left out."""
    pairs = (*ON_REDIS, *UNPINNED)
    found = (
        Group([name for name in names if name not in pairs], rounds),
        Group([name for name in names if name in ON_REDIS], 2 * rounds),
        Group([name for name in names if name in UNPINNED], 2 * rounds, nullcontext),
    )
    return tuple(group for group in found if group.names)


@contextmanager
def surroundings(cache: Path) -> Iterator[Surroundings]:
    """Keep the stand-in and a Redis that writes nothing to disk running, on the cores of this process."""
    upstream_port, redis_port = free_port(), free_port()
    here = Path(__file__).parent
    upstream = (sys.executable, str(here / "upstream.py"), str(upstream_port))
    redis = ("redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "")
    with (
        TemporaryDirectory(prefix="benchmark-") as scratch,
        processes.running(upstream, directory=here, environment={}, log=_log(cache, "upstream")),
        processes.running(redis, directory=cache, environment={}, log=_log(cache, "redis")),
    ):
        for port in (upstream_port, redis_port):
            processes.await_port(port)
        yield Surroundings(cache, Path(scratch), upstream_port, redis_port)


@contextmanager
def started(who: Candidate, around: Surroundings) -> Iterator[tuple[Target, float]]:
    """Start the candidate; yield it with the seconds from exec to its first mint, once it has refused a stranger.

    Redis is emptied before: a service takes care of the calls it finds there, even of those that another one opened.
    """
    with Redis(port=around.redis_port) as redis:
        redis.flushall()
    tokens = around.scratch / "tokens.txt"
    tokens.write_text("\n".join(who.tokens))
    upstream = Upstream(around.upstream_port)
    upstream.control(0.0)
    log = _log(around.cache, who.name)
    begun = time.monotonic()
    with processes.running(
        who.command,
        directory=who.directory,
        environment=who.environment,
        log=log,
        cores=processes.first_cores(who.processes) if who.pinned else (),
    ) as process:
        _await_mint(who, process)
        cold_start = time.monotonic() - begun
        _expect_refusal(who)
        body = who.body or load.BODY
        yield Target(who.url, process.pid, tokens, upstream, around.redis_port, body), cold_start


def _outing(who: Candidate, around: Surroundings, seconds: float) -> Outing:
    with started(who, around) as (target, cold_start):
        load.run_wrk(target, _WARMING, _WARMING_SECONDS)
        samples = [load.take(target, wanted, wanted.stretched(seconds)) for wanted in who.loads]
        target.upstream.settle()  # what is still under way is not yet what the loads leave
        return Outing(
            candidate=who.name,
            cold_start=cold_start,
            memory=processes.memory(target.pid),
            peak_memory=processes.peak_memory(target.pid),
            samples=samples,
        )


def _await_mint(who: Candidate, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):  # nothing listens yet
            status, body = _post(who, who.tokens[0])
            given = json.loads(body).keys()
            if {"value", "session"} <= given or {"call", "sdp"} <= given:
                return
            raise BenchmarkError(f"{who.name} answered {status} to a mint")
        time.sleep(0.01)
    raise BenchmarkError(f"{who.name} did not start")


def _expect_refusal(who: Candidate) -> None:
    status, _ = _post(who, "a.stranger.s")
    if who.authenticates and status not in _REFUSALS:
        raise BenchmarkError(f"{who.name} answered {status} to a stranger")


def _post(who: Candidate, token: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", who.port, timeout=_START_PATIENCE)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with closing(connection):
        connection.request("POST", who.path, who.body or load.BODY, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _log(cache: Path, name: str) -> Path:
    return cache / "logs" / f"{name}.log"
