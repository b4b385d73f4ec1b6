"""What is measured: loads, and the values that come back from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, order=True)
class Load:
    """So many connections, each asking again once it is answered; `latency` is the upstream's, in seconds."""

    latency: float
    connections: int

    def stretched(self, seconds: float) -> float:
        """Return how long to run where a load without latency runs `seconds`.

        All connections ask at once in the beginning; it takes some answers until they are spread out. The busy load,
        under which candidates are compared, runs twice as long: the slowest answers 160 a second in bursts of up to 32,
        so that one burst more or less within 4 s is 5 % of its rate.
        """
        return (2 if self == BUSY else 1) * seconds + 10 * self.latency

    def __str__(self) -> str:
        """Name the load as tables do."""
        return f"{self.connections} connections, upstream {self.latency * 1000:.0f} ms"


BUSY = Load(latency=0.0, connections=32)
DISTANT = Load(latency=0.3, connections=256)
# Twelve connections above the 500 that must be in flight: each is briefly on our side of the call.
HELD = Load(latency=2.0, connections=512)
STANDARD = tuple(Load(latency, connections) for latency in (0.0, 0.3) for connections in (1, 32, 256))


@dataclass(frozen=True)
class Candidate:
    """A server under test: how it is started, and where it mints or opens calls; `body` is what opens one."""

    name: str
    port: int
    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(repr=False)
    tokens: Sequence[str] = field(repr=False)
    path: str = "/token"
    body: str | None = None
    processes: int = 1
    loads: Sequence[Load] = STANDARD
    authenticates: bool = True
    pinned: bool = True

    @property
    def url(self) -> str:
        """Where it mints."""
        return f"http://127.0.0.1:{self.port}{self.path}"


@dataclass(frozen=True)
class Sample:
    """One candidate under one load: times in seconds, as clients saw them; CPU of the whole process tree."""

    load: Load
    mints_per_second: float
    p50: float
    p99: float
    cpu_per_mint: float
    failures: int
    peak_in_flight: int
    redis_round_trips_per_mint: float
    foreign_cpu: float
    """Cores that other programs took meanwhile: far from 0, the sample is not to be trusted."""


@dataclass(frozen=True)
class Outing:
    """One start of one candidate: seconds from exec to its first mint, bytes held after its loads."""

    candidate: str
    cold_start: float
    memory: int
    peak_memory: int
    samples: Sequence[Sample]

    def under(self, load: Load) -> Sample:
        """Return the sample taken under `load`; KeyError where there was none."""
        for sample in self.samples:
            if sample.load == load:
                return sample
        raise KeyError(load)
