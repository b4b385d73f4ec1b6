"""What the keeper of calls tells: an audit event for each call that ended, and the numbers of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.calls.endings import KeeperEvents
from service.calls.errors import CallRegistryUnavailableError
from service.calls.model import Call, Counts
from service.observe.audit import describe_call

LATENESS = (0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300)
"""Histogram buckets in seconds: endings begin within 2 s of their time, while any process runs."""


class CallMetrics:
    """The instruments of calls. A call's model is one of ``ALLOWED_MODELS``, which bounds the label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ended = Counter(
            "token_service_calls_ended",
            "Calls that ended, by cause.",
            ["session_type", "ended_by"],
            registry=registry,
        )
        self.seconds = Counter(
            "token_service_call_seconds", "Seconds that ended calls were open.", ["model"], registry=registry
        )
        self.charged_seconds = Counter(
            "token_service_call_charged_seconds",
            "Seconds that ended calls were charged.",
            ["model"],
            registry=registry,
        )
        self.failed = Counter(
            "token_service_call_endings_failed",
            "Attempts to end a call that failed; each is tried again.",
            registry=registry,
        )
        self.not_ended = Counter(
            "token_service_calls_not_ended",
            "Calls that could not be ended until the vendor's own maximum had passed.",
            registry=registry,
        )
        self.unknown = Counter(
            "token_service_calls_unknown",
            "Openings of unknown outcome: an answer was lost, or the process died.",
            registry=registry,
        )
        self.lateness = Histogram(
            "token_service_call_ending_lateness_seconds",
            "How long after its time the first attempt to end a call began.",
            buckets=LATENESS,
            registry=registry,
        )


class CallEvents(KeeperEvents):
    """Writes an audit event for each ending, and counts; ``metrics`` is ``None`` where there is no ``/metrics``."""

    def __init__(self, metrics: CallMetrics | None) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger().bind()

    def ended(self, call: Call) -> None:
        """Note that a call has ended."""
        self._write(self._log.info, "ended", call)
        if self._metrics:
            self._metrics.ended.labels(call.type, call.ended_by).inc()
            self._metrics.seconds.labels(call.model).inc(call.seconds or 0)
            self._metrics.charged_seconds.labels(call.model).inc(call.charged_seconds or 0)

    def lost(self, call: Call) -> None:
        """Note that it is unknown whether the vendor opened a call, as its own process would have if it had lived."""
        self._write(self._log.warning, "refused", call, outcome="unknown")
        if self._metrics:
            self._metrics.unknown.inc()

    def late(self, seconds: float) -> None:
        """Note how late the first attempt to end a call was."""
        if self._metrics:
            self._metrics.lateness.observe(seconds)

    def failed(self, call: Call, reason: str) -> None:
        """Count an attempt that failed; the keeper logs it."""
        del call, reason
        if self._metrics:
            self._metrics.failed.inc()

    def gave_up(self, call: Call) -> None:
        """Count a call that could not be ended; the keeper logs it."""
        del call
        if self._metrics:
            self._metrics.not_ended.inc()

    def _write(self, write: Callable[..., Any], decision: str, call: Call, **more: str) -> None:
        settled = {
            "ended_by": call.ended_by,
            "seconds": call.seconds,
            "charged_seconds": call.charged_seconds,
        }
        write(
            "call",
            decision=decision,
            user=call.user,
            session_type=call.type,
            model=call.model,
            **describe_call(call),
            **more,
            **{name: value for name, value in settled.items() if value is not None},
        )


class OpenCalls(Collector):
    """How many calls there are, asked of the registry at each scrape; nothing while it cannot be asked."""

    def __init__(self, counts: Callable[[], Counts]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the registry."""
        try:
            counts = self._counts()
        except CallRegistryUnavailableError:
            return
        yield GaugeMetricFamily(
            "token_service_calls_open", "Calls that are being opened, open or ending.", counts.active
        )
        yield GaugeMetricFamily(
            "token_service_calls_due",
            "Calls that should be ended, and that no process is ending.",
            counts.due,
        )
