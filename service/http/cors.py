"""Which pages may call, what they may send and read (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import structlog
from flask import Flask, Request, Response
from flask_cors import CORS

from service.core.origins import EXPOSED_HEADERS, Origins
from service.http.request import current_request
from service.http.settings import HttpSettings
from service.observe import METRICS_PATH

_METHODS: Final = ["GET", "POST", "DELETE"]
_MAX_AGE: Final = 600
_WITHOUT_CORS: Final = re.compile(rf"(?:/admin|{re.escape(METRICS_PATH)})(?:/|\Z)")
"""What machines ask: no page has to."""

_USUAL_HEADERS: Final = (
    # What an API is called with, and what HTTP clients add.
    r"authorization", r"content-type", r"accept(-.*)?", r"cache-control", r"pragma", r"user-agent",
    r"idempotency-key", r"x-idempotency-key", r"x-requested-with", r"x-request-id", r"x-correlation-id",
    # The vendor's SDKs, and those of compatible services.
    r"openai-.*", r"x-openai-.*", r"x-stainless-.*", r"x-title", r"http-referer",
    # Tracing: W3C, Sentry, Zipkin, Jaeger, Datadog, AWS, Google, Azure, Elastic, New Relic, Honeycomb, Instana.
    r"traceparent", r"tracestate", r"baggage", r"sentry-trace", r"b3", r"x-b3-.*", r"uber-trace-id", r"uberctx-.*",
    r"x-datadog-.*", r"x-amzn-trace-id", r"x-cloud-trace-context", r"request-id", r"request-context",
    r"x-ms-client-.*", r"elastic-apm-traceparent", r"newrelic", r"x-newrelic-.*", r"x-honeycomb-trace",
    r"x-instana-.*",
    # A tunnel that developers stand behind.
    r"ngrok-skip-browser-warning",
)  # fmt: skip
"""The request headers that preflights allow, as expressions for names in lower case."""

_SECONDS_A_LINE: Final = 60
_LONGEST: Final = 200


def install_cors(app: Flask, settings: HttpSettings) -> None:
    """Let pages of the allowed origins call, and log which other origin was refused."""
    origins = settings.origins
    app.after_request(_refusal_log(origins))
    if not origins:
        return
    names = [*_USUAL_HEADERS, *(re.escape(name) for name in settings.cors_allowed_headers)]
    CORS(
        app,
        resources=[re.compile(rf"(?!{_WITHOUT_CORS.pattern})")],
        # A pattern of our own: Flask-CORS compares text without case, and takes http://[::1] for a pattern.
        origins=[origins.pattern],
        always_send=False,  # or who sends no Origin is told one of the list
        methods=_METHODS,
        allow_headers=[re.compile(rf"(?:{'|'.join(names)})\Z", re.IGNORECASE)],
        expose_headers=list(EXPOSED_HEADERS),
        max_age=_MAX_AGE,
        vary_header=False,
    )

    def vary_by_origin(response: Response) -> Response:
        """Flask-CORS leaves Vary out where it refuses an origin, and a cache would serve that response to all."""
        response.vary.add("Origin")
        return response

    app.after_request(vary_by_origin)


def _refusal_log(origins: Origins) -> Callable[[Response], Response]:
    """Make the hook that writes one line a minute, whatever is refused, for an admin who wonders why."""
    lock, log = threading.Lock(), structlog.get_logger()
    next_line, unlogged = 0.0, 0

    def note(response: Response) -> Response:
        nonlocal next_line, unlogged
        request = current_request()
        origin = request.environ.get("HTTP_ORIGIN")
        if not origin or origins.allows(origin):
            return response
        if _is_own(origin, request) or _WITHOUT_CORS.match(request.path):
            return response
        with lock:
            unlogged, now = unlogged + 1, monotonic()
            if now < next_line:
                return response
            next_line, count, unlogged = now + _SECONDS_A_LINE, unlogged, 0
        log.warning(
            "a page's origin is not in ALLOWED_ORIGINS, so its browser refuses the answer",
            origin="".join(c if c.isprintable() else "?" for c in origin[:_LONGEST]),
            refused=count,
        )
        return response

    return note


def _is_own(origin: str, asked: Request) -> bool:
    """Tell a page that this service itself has served: browsers send its origin too, and need no permission."""
    try:
        return urlsplit(origin).netloc == asked.host
    except ValueError:
        return False
