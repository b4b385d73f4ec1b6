"""The Grafana dashboard speaks of numbers that the service really counts."""

from __future__ import annotations

import json
import re
from pathlib import Path

from service.calls.errors import CallEndedError
from service.calls.model import Call, Counts
from service.core.errors import RateLimitedError, RejectedCredentialsError, UpstreamQuotaExhaustedError
from service.core.model import Grant, Record
from service.observe.call_events import CallEvents, OpenCalls
from service.observe.metrics import Metrics

DASHBOARD = Path(__file__).resolve().parents[2] / "service" / "observe" / "dashboard.json"
OPERATING = DASHBOARD.parents[1] / "docs" / "operating.md"
ALARM_CODES = {"upstream_rejected_credentials", "upstream_quota_exhausted"}
"""Those that stop all users until an admin does something; the others are seen among all refusals, by code."""
SELECTOR = re.compile(r"(token_service_\w+)(?:\{([^}]*)\})?")


def test_every_expression_names_samples_that_exist() -> None:
    """A metric or a label's value that is renamed must be renamed here, too."""
    metrics = Metrics()
    metrics.begin()
    grant = Grant("realtime", "gpt-realtime-2.1", {}, 60)
    minted = Record(
        "r", "POST", "/token", 200, 0.1, event="mint", grant=grant, upstream_seconds=0.1, limit_storage="ok"
    )
    metrics.write(minted)
    for error in (RejectedCredentialsError("no"), UpstreamQuotaExhaustedError("no")):
        metrics.write(minted._replace(error=error))
        metrics.write(minted._replace(event="call", error=error))
    metrics.write(minted._replace(error=RateLimitedError("no", limit="global", retry_after=1)))
    opened = minted._replace(event="call", route="/calls")
    metrics.write(opened)
    metrics.write(opened._replace(error=CallEndedError("no")))
    assert metrics.calls is not None
    ended = Call("call_1", "user", "live", "gpt-live-1.1", "ended", 1, 0, 0, ended_by="client")
    events = CallEvents(metrics.calls)
    events.ended(ended)
    events.late(0.1)
    metrics.ask_at_scrape(OpenCalls(lambda: Counts(active=1, due=0)))
    exposition = metrics.exposition().decode()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(expressions) >= len(panels)
    for expression in expressions:
        for name, labels in SELECTOR.findall(expression):
            samples = [line for line in exposition.splitlines() if re.match(rf"{name}[{{ ]", line)]
            assert samples, f"{expression}: nothing is counted as {name}"
            assert any(labels in sample for sample in samples), f"{expression}: {labels} never occurs"


def test_grouping_is_by_labels_that_exist() -> None:
    """Each ``by`` names labels of the metric it groups."""
    for expression in re.findall(r'"expr": "(.*)"', DASHBOARD.read_text()):
        for group in re.findall(r"by \(([^)]*)\)", expression):
            known = {"le", "code", "limit", "state", "status", "model", "session_type", "ended_by"}
            assert {label.strip() for label in group.split(",")} <= known


def test_every_alarm_of_the_documentation_is_seen_on_the_dashboard() -> None:
    """Each metric that has an alarm has a panel, and so has each code that stops everybody."""
    alarms = OPERATING.read_text().partition("## Alarms worth setting")[2].partition("## ")[0]
    watched = SELECTOR.findall(alarms.replace("\\|", "|"))
    shown = SELECTOR.findall(DASHBOARD.read_text().replace('\\"', '"'))
    assert len(watched) >= 12
    assert {name for name, _ in watched} <= {name for name, _ in shown}
    for name in ("token_service_refusals_total", "token_service_calls_refused_total"):
        labels = {label for watched_name, label in watched if watched_name == name}
        needed = {f'code="{code}"' for code in ALARM_CODES}
        assert needed <= labels
        assert needed <= {label for shown_name, label in shown if shown_name == name}
