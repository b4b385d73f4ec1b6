"""The targets, each a ratio or a bound within one run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import nan

from .candidates import (
    CALLS,
    EXPRESS,
    EXPRESS_UNPINNED,
    FASTAPI,
    FLOOR,
    LITELLM,
    REDIS_WINDOWS,
    SERVICE,
    SERVICE_REDIS,
    SERVICE_TWO,
    SERVICE_UNPINNED,
)
from .keeping import DUE_A_SECOND, Keeping
from .plan import BUSY, DISTANT, HELD, Outing

_MEGABYTES = 1024 * 1024


@dataclass(frozen=True)
class Verdict:
    """One target: what is measured, the bound, what was found."""

    what: str
    bound: str
    found: float
    holds: bool


def judge(by_name: Mapping[str, Outing], kept: Keeping) -> list[Verdict]:
    """Hold the run's figures, one outing for each candidate, and what keeping calls costs against every target."""
    return [*_against_peers(by_name), *_alone(by_name), *_with_redis(by_name), *_keeping(kept)]


def _against_peers(by_name: Mapping[str, Outing]) -> Iterator[Verdict]:
    ours = by_name[SERVICE].under(BUSY)
    express = by_name[EXPRESS].under(BUSY)
    for peer, factor in ((EXPRESS, 1.5), (FASTAPI, 3), (LITELLM, 8)):
        theirs = by_name[peer].under(BUSY)
        yield _at_least(
            f"throughput to {peer}'s, {BUSY}", _ratio(ours.mints_per_second, theirs.mints_per_second), factor
        )
    yield _below(f"p99 to {EXPRESS}'s, {BUSY}", _ratio(ours.p99, express.p99), 1)
    free, express_free = by_name[SERVICE_UNPINNED].under(BUSY), by_name[EXPRESS_UNPINNED].under(BUSY)
    yield _at_most(
        f"CPU a mint to {EXPRESS}'s, unpinned, {BUSY}",
        _ratio(free.cpu_per_mint, express_free.cpu_per_mint),
        0.5,
    )
    floor = by_name[FLOOR].under(BUSY)
    yield _at_most(f"CPU a mint to the floor's, {BUSY}", _ratio(ours.cpu_per_mint, floor.cpu_per_mint), 1.6)
    yield _at_most(
        f"memory after load to {LITELLM}'s", _ratio(by_name[SERVICE].memory, by_name[LITELLM].memory), 0.25
    )


def _alone(by_name: Mapping[str, Outing]) -> Iterator[Verdict]:
    distant = by_name[SERVICE].under(DISTANT)
    yield _at_most(f"p50 to the latency, {DISTANT}", distant.p50 / DISTANT.latency, 1.15)
    yield _at_most(f"p99 to the latency, {DISTANT}", distant.p99 / DISTANT.latency, 2)
    yield _below("cold start, seconds", by_name[SERVICE].cold_start, 1)
    held = by_name[SERVICE_TWO].under(HELD)
    yield _at_least("in flight upstream, 2 processes", held.peak_in_flight, 500)
    yield _below("highest memory of both then, MB", by_name[SERVICE_TWO].peak_memory / _MEGABYTES, 512)
    failures = sum(sample.failures for name in _OURS for sample in by_name[name].samples)
    yield _at_most("mints of ours that failed", failures, 0)


def _with_redis(by_name: Mapping[str, Outing]) -> Iterator[Verdict]:
    ours = by_name[SERVICE_REDIS].under(BUSY)
    trips = ours.redis_round_trips_per_mint / REDIS_WINDOWS
    yield _at_most("Redis round trips a window", round(trips, 2), 1)
    opening = by_name[CALLS].under(BUSY)
    yield _at_most(
        "CPU of opening a call to a mint's, both with Redis",
        _ratio(opening.cpu_per_mint, ours.cpu_per_mint),
        1.5,
    )
    yield _at_most("Redis round trips an opening", round(opening.redis_round_trips_per_mint, 1), 3)
    alone = by_name[SERVICE].under(BUSY)
    yield _at_least(
        "throughput with Redis to without", _ratio(ours.mints_per_second, alone.mints_per_second), 0.6
    )


def _keeping(kept: Keeping) -> Iterator[Verdict]:
    yield _below(f"% of a core for {kept.calls} open calls, nothing due", 100 * kept.idle_share, 1)
    yield _below(f"lateness of endings at p99, {DUE_A_SECOND} due a second, seconds", kept.late_p99, 1)
    yield _at_most("calls that were due and did not end", kept.due - kept.ended, 0)
    yield _below("memory of a call, KB", kept.memory / 1024, 2)


_OURS = (SERVICE, SERVICE_REDIS, CALLS, SERVICE_TWO, SERVICE_UNPINNED)


def _ratio(ours: float, theirs: float) -> float:
    """Compare; with one who did not answer there is no comparison, and no target holds."""
    return ours / theirs if theirs else nan


def _at_least(what: str, found: float, bound: float) -> Verdict:
    return Verdict(what, f"at least {bound:g}", found, found >= bound)


def _at_most(what: str, found: float, bound: float) -> Verdict:
    return Verdict(what, f"at most {bound:g}", found, found <= bound)


def _below(what: str, found: float, bound: float) -> Verdict:
    return Verdict(what, f"below {bound:g}", found, found < bound)
