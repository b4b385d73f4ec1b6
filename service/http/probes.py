"""What machines ask: does it live, can it mint, what are the numbers, what are the routes.

Neither limited nor logged above DEBUG.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, jsonify, request
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from werkzeug.exceptions import NotFound

from service.auth.jwks import JwksKeys
from service.auth.token import bearer_token
from service.core.errors import InvalidTokenError
from service.limits.limiter import RateLimits
from service.observe.metrics import Metrics


def probe_routes(
    *,
    limits: RateLimits,
    key_sets: Sequence[JwksKeys],
    metrics: Metrics,
    metrics_token: str | None,
    description: Mapping[str, Any],
) -> Blueprint:
    """Make the routes; ``key_sets`` are the identity providers', where there are any."""
    routes = Blueprint("probes", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        """The process answers."""
        return jsonify(status="ok")

    @routes.get("/readyz")
    def readyz() -> tuple[Response, HTTPStatus]:
        """Secrets can be minted, as far as that can be told without minting one."""
        storage = limits.probe()
        keys = "ok" if not key_sets or any(map(has_keys, key_sets)) else "unavailable"
        status = "unavailable" if "unavailable" in {storage, keys} else storage
        code = HTTPStatus.SERVICE_UNAVAILABLE if status == "unavailable" else HTTPStatus.OK
        return jsonify(status=status, limit_storage=storage, key_set=keys), code

    @routes.get("/metrics")
    def numbers() -> Response:
        """The numbers of all processes, for Prometheus."""
        if metrics_token is None:
            raise NotFound
        given = bearer_token(request.headers.get("Authorization"))
        if not hmac.compare_digest(given.encode(), metrics_token.encode()):
            raise InvalidTokenError("the bearer token is not METRICS_TOKEN")
        return Response(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)

    @routes.get("/openapi.json")
    def openapi() -> Response:
        """The description of this API."""
        return jsonify(description)

    return routes


def has_keys(key_set: JwksKeys) -> bool:
    """Tell whether tokens can be verified, fetching the key set where there is none yet."""
    return key_set.describe().loaded or key_set.load().loaded
