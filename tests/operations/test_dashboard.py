"""The Grafana dashboard speaks of numbers that the service really counts."""

from __future__ import annotations

import json
import re
from pathlib import Path

from service.core.errors import RateLimitedError, RejectedCredentialsError
from service.core.model import Grant, Served
from service.observe.metrics import Metrics

DASHBOARD = Path(__file__).resolve().parents[2] / "service" / "observe" / "dashboard.json"
SELECTOR = re.compile(r"(token_service_\w+)(?:\{([^}]*)\})?")


def test_every_expression_names_samples_that_exist() -> None:
    """A metric or a label's value that is renamed must be renamed here, too."""
    metrics = Metrics()
    metrics.begun()
    metrics.served(Served("r", "POST", "/token", 200, 0.1, upstream_seconds=0.1))
    metrics.minted(Grant("realtime", "gpt-realtime-2.1", {}, 60))
    metrics.refused(RejectedCredentialsError("no"))
    metrics.refused(RateLimitedError("no", limit="global", retry_after=1))
    metrics.limit_storage("ok")
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
            known = {"le", "code", "limit", "state", "status", "model", "session_type"}
            assert {label.strip() for label in group.split(",")} <= known
