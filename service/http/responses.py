"""What every answer carries, whichever route gave it: the error shape, request ids, CORS, no caching."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from secrets import token_hex
from time import perf_counter

import structlog
from flask import Flask, Response, g, jsonify, request
from flask_cors import CORS
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from service.core.errors import ServiceError, code_of, error_body
from service.core.model import Served
from service.http.routes import Trace
from service.observe import logs
from service.observe.metrics import Metrics

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_EXPOSED = ["Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id", "WWW-Authenticate"]
_WORDS = {
    HTTPStatus.NOT_FOUND: "There is no such route. GET /openapi.json lists those there are.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This route does not know that method; the Allow header lists those it does.",
}
_ALLOWED = ["Authorization", "Content-Type", "X-Request-Id", r"x-stainless-.*"]


def install(app: Flask, *, allowed_origins: Sequence[str], metrics: Metrics) -> None:
    """Make every answer of ``app`` keep the contract, errors included, and leave one line in the log."""
    log = logs.RequestLog()

    def begin() -> None:
        metrics.begun()
        _begin_trace()

    def finish(response: Response) -> Response:
        served = _served(g.trace, response)
        log.write(served)
        metrics.served(served)
        return response

    app.before_request(begin)
    app.after_request(finish)  # what is registered first runs last
    app.after_request(_finish_headers)
    app.register_error_handler(ServiceError, _answer_service_error)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(Exception, _answer_unexpected)
    if allowed_origins:
        _install_cors(app, allowed_origins)


def _install_cors(app: Flask, allowed_origins: Sequence[str]) -> None:
    CORS(
        app,
        # As patterns of our own: Flask-CORS compares text without case, and takes http://[::1] for a pattern.
        origins=[re.compile(rf"{re.escape(origin)}\Z") for origin in allowed_origins],
        always_send=False,  # or who sends no Origin is told one of the list
        methods=["GET", "POST"],
        allow_headers=_ALLOWED,
        expose_headers=_EXPOSED,
        max_age=600,
        vary_header=False,
    )
    # Flask-CORS leaves Vary out where it refuses an origin, and a cache would then serve that answer to all.
    app.after_request(_vary_by_origin)


def _vary_by_origin(response: Response) -> Response:
    response.vary.add("Origin")
    return response


def _begin_trace() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.trace = trace = Trace(request_id=given if _REQUEST_ID.fullmatch(given) else token_hex(16))
    logs.REQUEST_ID.set(trace.request_id)


def _finish_headers(response: Response) -> Response:
    """Add what every answer carries. No route sets these itself, so nothing has to be replaced."""
    trace: Trace = g.trace
    added = {"X-Request-Id": trace.request_id, "X-Content-Type-Options": "nosniff"}
    if request.endpoint != "static":
        added["Cache-Control"] = "no-store"
    if trace.quota is not None:
        added |= trace.quota.headers
    for name, value in added.items():
        response.headers.add(name, value)
    return response


def _served(trace: Trace, response: Response) -> Served:
    return Served(
        request_id=trace.request_id,
        method=request.method,
        route=request.url_rule.rule if request.url_rule else "unmatched",
        status=response.status_code,
        seconds=perf_counter() - trace.started,
        upstream_seconds=trace.upstream_seconds,
        user=trace.caller.pseudonym if trace.caller else None,
        code=trace.code,
    )


def _answer_service_error(error: ServiceError) -> tuple[Response, int, dict[str, str]]:
    trace: Trace = g.trace
    trace.code = error.code
    return jsonify(error.body), error.status, error.headers


def _answer_http_error(error: HTTPException) -> tuple[Response, int, dict[str, str]]:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    code = code_of(status)
    g.trace.code = code
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    headers = (
        {"Allow": ", ".join(sorted(error.valid_methods or ()))} if isinstance(error, MethodNotAllowed) else {}
    )
    message = _WORDS.get(status, f"{status.phrase}.")
    return jsonify(error_body(message, type=kind, code=code)), status, headers


def _answer_unexpected(error: Exception) -> tuple[Response, int, dict[str, str]]:
    """Answer a fault of our own; the log has it whole, the caller nothing of it."""
    structlog.get_logger().error("unexpected error", request_id=g.trace.request_id, exc_info=error)
    return _answer_service_error(ServiceError("The token service failed; its log knows this request's id."))
