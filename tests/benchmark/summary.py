"""Many rounds into one: of times and rates the best, of memory and counts the median.

What comes between, on this machine or on the host of a virtual one, only makes a round slower, so the best of several
says most about a candidate (https://docs.python.org/3/library/timeit.html#timeit.Timer.repeat).
"""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from .plan import Load, Outing, Sample


def best(outings: Iterable[Outing]) -> dict[str, Outing]:
    """Return for each candidate, in the order of first appearance, the best figures of its outings."""
    by_name: dict[str, list[Outing]] = {}
    for outing in outings:
        by_name.setdefault(outing.candidate, []).append(outing)
    return {name: _best_of(several) for name, several in by_name.items()}


def _best_of(outings: Sequence[Outing]) -> Outing:
    loads = [sample.load for sample in outings[0].samples]
    return Outing(
        candidate=outings[0].candidate,
        cold_start=min(outing.cold_start for outing in outings),
        memory=int(median(outing.memory for outing in outings)),
        peak_memory=int(median(outing.peak_memory for outing in outings)),
        samples=[_best_sample([outing.under(load) for outing in outings], load) for load in loads],
    )


def _best_sample(samples: Sequence[Sample], load: Load) -> Sample:
    def least(figure: Callable[[Sample], float]) -> float:
        return min(map(figure, samples))

    return Sample(
        load=load,
        mints_per_second=max(sample.mints_per_second for sample in samples),
        p50=least(lambda sample: sample.p50),
        p99=least(lambda sample: sample.p99),
        cpu_per_mint=least(lambda sample: sample.cpu_per_mint),
        failures=max(sample.failures for sample in samples),
        peak_in_flight=int(median(sample.peak_in_flight for sample in samples)),
        redis_round_trips_per_mint=median(sample.redis_round_trips_per_mint for sample in samples),
        foreign_cpu=max(sample.foreign_cpu for sample in samples),
    )
