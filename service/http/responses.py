"""Give every response its error shape, request id, CORS and caching headers, and send its record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from secrets import token_hex
from time import perf_counter
from typing import Any, cast

from flask import Flask, Request, Response
from flask.globals import request_ctx
from flask_cors import CORS
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from service.core.errors import InternalError, ServiceError, code_of, error_body
from service.core.json import encode_object
from service.core.model import Record
from service.exchange import Incoming
from service.http.client_address import client_address
from service.observe import logs
from service.observe.audit import Audit
from service.observe.metrics import Metrics

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_EXPOSED = [
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-Request-Id",
    "WWW-Authenticate",
    "Location",
    "x-should-retry",
]
_ALLOWED = ["Authorization", "Content-Type", "X-Request-Id", "X-OpenAI-Agents-SDK", r"x-stainless-.*"]
_WITHOUT_CORS = r"/(?!admin/|metrics\Z).*"
"""All paths but those that only the company's own servers call."""

_MESSAGES = {
    HTTPStatus.NOT_FOUND: "There is no such route. GET /openapi.json lists those there are.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This route does not know that method; the Allow header lists those it does.",
}


class RecordedRequest(Request):
    """A request that carries its record: every part of Flask that sees the one sees the other."""

    def __init__(self, environ: dict[str, Any], *args: Any, **options: Any) -> None:
        super().__init__(environ, *args, **options)
        given = self.headers.get("X-Request-Id", "")
        self.started = perf_counter()
        self.record = Record(request_id=given if _REQUEST_ID.fullmatch(given) else token_hex(16))

    def note_fault(self, fault: Exception, event: str | None) -> InternalError:
        """Record an unforeseen exception, and return the error to answer with."""
        error = InternalError()
        self.record = replace(self.record, error=error, fault=fault, event=self.record.event or event)
        return error

    def incoming(self, *, proxy_hops: int, read_body: Callable[[], bytes] = bytes) -> Incoming:
        """Return what an exchange needs of this request."""

        def read_address() -> str:
            return client_address(self.remote_addr, self.headers.get("X-Forwarded-For"), proxy_hops)

        return Incoming(self.headers.get("Authorization"), read_address, read_body)

    def client_has_left(self) -> bool:
        """Tell whether the client has closed its connection, where the server can (``serving.connection``)."""
        tell = getattr(self.environ.get("gunicorn.socket"), "has_left", None)
        return bool(tell and tell())


def current_request() -> RecordedRequest:
    """Return the request that is being answered: itself, since each use of Flask's proxy would look it up anew."""
    return cast("RecordedRequest", request_ctx.request)


def json_response(
    value: Mapping[str, Any], status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a JSON object, its members in their order."""
    return Response(encode_object(value), status, headers, mimetype="application/json")


def install(
    app: Flask, *, allowed_origins: Sequence[str], metrics: Metrics, events: Mapping[str, str]
) -> None:
    """Make every response of ``app`` keep the contract, errors included, and send its record once.

    ``events`` names the audit event of each blueprint whose routes have one.
    """
    audit, log = Audit(), logs.RequestLog()
    app.request_class = RecordedRequest

    def begin() -> None:
        metrics.begin()
        logs.REQUEST_ID.set(current_request().record.request_id)

    def finish(response: Response) -> Response:
        record = _complete(current_request(), response)
        audit.write(record)
        log.write(record)
        metrics.write(record)
        return response

    def answer_unexpected(fault: Exception) -> Response:
        event = events.get(current_request().blueprint or "")
        return _answer_service_error(current_request().note_fault(fault, event))

    app.before_request(begin)
    app.after_request(finish)  # what is registered first runs last
    app.after_request(_finish_headers)
    app.register_error_handler(ServiceError, _answer_service_error)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(Exception, answer_unexpected)
    if allowed_origins:
        _install_cors(app, allowed_origins)


def _install_cors(app: Flask, allowed_origins: Sequence[str]) -> None:
    CORS(
        app,
        resources=[_WITHOUT_CORS],
        # As patterns of our own: Flask-CORS compares text without case, and takes http://[::1] for a pattern.
        origins=[re.compile(rf"{re.escape(origin)}\Z") for origin in allowed_origins],
        always_send=False,  # or who sends no Origin is told one of the list
        methods=["GET", "POST", "DELETE"],
        allow_headers=_ALLOWED,
        expose_headers=_EXPOSED,
        max_age=600,
        vary_header=False,
    )

    def vary_by_origin(response: Response) -> Response:
        """Flask-CORS leaves Vary out where it refuses an origin, and a cache would serve that response to all."""
        response.vary.add("Origin")
        return response

    app.after_request(vary_by_origin)


def _finish_headers(response: Response) -> Response:
    """Add what every response carries. No route sets these itself, so nothing has to be replaced."""
    answered = current_request()
    record = answered.record
    added = {"X-Request-Id": record.request_id, "X-Content-Type-Options": "nosniff", **record.quota_headers}
    if answered.endpoint != "static":
        added["Cache-Control"] = "no-store"
    for name, value in added.items():
        response.headers.add(name, value)
    return response


def _complete(answered: RecordedRequest, response: Response) -> Record:
    return replace(
        answered.record,
        method=answered.method,
        route=answered.url_rule.rule if answered.url_rule else "unmatched",
        status=response.status_code,
        seconds=perf_counter() - answered.started,
    )


def _answer_service_error(error: ServiceError) -> Response:
    answered = current_request()
    if answered.record.error is not error:
        answered.record = replace(answered.record, error=error)
    return json_response(error.body, error.status, error.headers)


def _answer_http_error(error: HTTPException) -> Response:
    """Answer what Flask refuses, such as an unknown route, in the same shape as everything else."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    answered, code = current_request(), code_of(status)
    answered.record = replace(answered.record, http_error=code)
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    methods = error.valid_methods or () if isinstance(error, MethodNotAllowed) else ()
    message = _MESSAGES.get(status, f"{status.phrase}.")
    headers = {"Allow": ", ".join(sorted(methods))} if methods else None
    return json_response(error_body(message, type=kind, code=code), status, headers)
