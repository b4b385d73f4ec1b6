"""Many rounds into one: the median of each figure."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from .plan import Load, Outing, Sample


def medians(outings: Iterable[Outing]) -> dict[str, Outing]:
    """Return for each candidate, in the order of first appearance, the medians over its outings."""
    by_name: dict[str, list[Outing]] = {}
    for outing in outings:
        by_name.setdefault(outing.candidate, []).append(outing)
    return {name: _middle(several) for name, several in by_name.items()}


def _middle(outings: Sequence[Outing]) -> Outing:
    loads = [sample.load for sample in outings[0].samples]
    return Outing(
        candidate=outings[0].candidate,
        cold_start=median(outing.cold_start for outing in outings),
        memory=int(median(outing.memory for outing in outings)),
        peak_memory=int(median(outing.peak_memory for outing in outings)),
        samples=[_middle_sample([outing.under(load) for outing in outings], load) for load in loads],
    )


def _middle_sample(samples: Sequence[Sample], load: Load) -> Sample:
    def of(figure: Callable[[Sample], float]) -> float:
        return median(map(figure, samples))

    return Sample(
        load=load,
        mints_per_second=of(lambda sample: sample.mints_per_second),
        p50=of(lambda sample: sample.p50),
        p99=of(lambda sample: sample.p99),
        cpu_per_mint=of(lambda sample: sample.cpu_per_mint),
        failures=max(sample.failures for sample in samples),
        peak_in_flight=int(of(lambda sample: sample.peak_in_flight)),
        redis_round_trips_per_mint=of(lambda sample: sample.redis_round_trips_per_mint),
        foreign_cpu=max(sample.foreign_cpu for sample in samples),
    )
