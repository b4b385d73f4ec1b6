"""What happened: audit events, metrics and logs, none of which holds a secret."""

from __future__ import annotations

from typing import Final

METRICS_PATH: Final = "/metrics"
"""The route of the metrics, for Prometheus."""
