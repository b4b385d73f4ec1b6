"""Metrics for Prometheus: correct over several processes, every label bounded.

With several processes each keeps its numbers in files below ``PROMETHEUS_MULTIPROC_DIR``, and a scrape of
any one adds them all up (https://prometheus.github.io/client_python/multiprocess/). prometheus-client looks
for that variable when it is first imported, so whoever starts processes sets it before.
"""

from __future__ import annotations

import os
from functools import cache
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service import __version__
from service.calls.errors import CallLimitError
from service.calls.opening import OpeningFailedError
from service.core.errors import RateLimitedError, ServiceError
from service.core.model import Record, StorageState
from service.observe.call_events import CallMetrics

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
"""Histogram buckets: from a refusal out of memory to the longest ``UPSTREAM_TIMEOUT``."""

_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})


class Metrics:
    """The service's instruments. One object a process, since each process has its own files."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        info = Gauge(
            "token_service_info",
            "Always 1, labelled with the version.",
            ["version"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        info.labels(__version__).set(1)
        self._requests = Counter(
            "token_service_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "token_service_request_seconds",
            "Time from the first line of a request to its answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._in_flight = Gauge(
            "token_service_requests_in_flight",
            "Requests being answered.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._upstream_seconds = Histogram(
            "token_service_upstream_seconds",
            "Time a mint took at the vendor, retries included, or the opening of a call, by outcome.",
            ["outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self._mints = Counter(
            "token_service_mints", "Client secrets handed out.", ["session_type", "model"], registry=registry
        )
        self._refusals = Counter(
            "token_service_refusals", "Mints refused, by code.", ["code"], registry=registry
        )
        self._limited = Counter(
            "token_service_rate_limited",
            "Requests over a limit, by type of limit: user, address, calls (of one user) or global.",
            ["limit"],
            registry=registry,
        )
        self._storage = Gauge(
            "token_service_limit_storage",
            "1 for each state the limit storage is in, in any process.",
            ["state"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._storage_state: StorageState | None = None
        self._calls_opened = Counter(
            "token_service_calls_opened", "Calls opened.", ["session_type", "model"], registry=registry
        )
        self._calls_refused = Counter(
            "token_service_calls_refused",
            "Openings, readings and endings of calls that were refused, by code.",
            ["code"],
            registry=registry,
        )
        self._at_scrape: list[Collector] = []
        self.calls: CallMetrics | None = CallMetrics(registry)

    def ask_at_scrape(self, collector: Collector) -> None:
        """Add numbers that are no process's own."""
        self._at_scrape.append(collector)

    def begin(self) -> None:
        """Count a request in."""
        self._in_flight.inc()

    def write(self, record: Record) -> None:
        """Count a request out, with its durations and what came of it.

        A secret's model is one of ``ALLOWED_MODELS``, which bounds the label.
        """
        self._in_flight.dec()
        method = record.method if record.method in _METHODS else "other"
        self._requests.labels(record.route, method, record.status).inc()
        self._request_seconds.labels(record.route).observe(record.seconds)
        if record.upstream_seconds is not None:
            done = "opened" if record.event == "call" else "minted"
            outcome = done if record.error is None else _bounded(record.code)
            self._upstream_seconds.labels(outcome).observe(record.upstream_seconds)
        if record.limit_storage and record.limit_storage != self._storage_state:
            self._storage_state = record.limit_storage
            for state in get_args(StorageState):
                self._storage.labels(state).set(state == record.limit_storage)
        if record.event and record.error:
            refused = self._calls_refused if record.event == "call" else self._refusals
            refused.labels(_bounded(record.code)).inc()
            cause = record.error.__cause__
            if self.calls and isinstance(cause, OpeningFailedError) and not cause.definite:
                self.calls.unknown.inc()
            if isinstance(record.error, RateLimitedError | CallLimitError):
                self._limited.labels(record.error.limit).inc()
        elif record.event and record.grant:
            granted = self._calls_opened if record.event == "call" else self._mints
            granted.labels(record.grant.session_type, record.grant.model).inc()

    def exposition(self) -> bytes:
        """Write down the numbers of all processes, in Prometheus' text format (version 0.0.4)."""
        together = CollectorRegistry()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        else:
            together.register(self._registry)
        for collector in self._at_scrape:
            together.register(collector)
        return generate_latest(together)


@cache
def _known_codes() -> frozenset[str | None]:
    # Not before the first use: other packages add errors of their own.
    kinds, codes = [ServiceError], set()
    while kinds:
        kind = kinds.pop()
        codes.add(kind.code)
        kinds += kind.__subclasses__()
    return frozenset(codes)


def _bounded(code: str | None) -> str:
    """Keep the codes of our own tree; the vendor's, which are unbounded, count as one."""
    return str(code) if code in _known_codes() else "rejected_session"


class NullMetrics(Metrics):
    """Counts nothing: without ``METRICS_TOKEN`` there is no ``/metrics``, where the numbers could be read."""

    def __init__(self) -> None:
        """Make no instruments."""
        self.calls = None

    def ask_at_scrape(self, collector: Collector) -> None:
        """Do nothing."""

    def begin(self) -> None:
        """Do nothing."""

    def write(self, record: Record) -> None:
        """Do nothing."""
