"""Give every response its error shape, request id, CORS and caching headers, and send its record."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from service.core.errors import ServiceError, code_of, error_body
from service.core.json import encode_object
from service.core.model import Event
from service.http.cors import install_cors
from service.http.request import RecordedRequest, current_request
from service.http.settings import HttpSettings
from service.observe import logs
from service.observe.audit import Audit
from service.observe.metrics import Metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_MESSAGES = {
    HTTPStatus.NOT_FOUND: "No such route. GET /openapi.json lists the available routes.",
    HTTPStatus.METHOD_NOT_ALLOWED: "Method not allowed. The Allow header lists the allowed methods.",
}


class _JsonResponse(Response):
    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """Return the headers as they are: the length is among them, and each ``Location`` is a path in ASCII."""
        del environ
        return self.headers


def json_response(
    value: Mapping[str, Any], status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a JSON object, its members in their order."""
    return _JsonResponse(encode_object(value), status, headers, content_type="application/json")


def install(app: Flask, settings: HttpSettings, *, metrics: Metrics, events: Mapping[str, Event]) -> None:
    """Make every response of ``app`` keep the contract, errors included, and send its record once.

    ``events`` names the audit event of each blueprint whose routes have one.
    """
    audit, log = Audit(), logs.RequestLog()
    app.request_class = RecordedRequest

    def begin() -> None:
        metrics.begin()
        logs.REQUEST_ID.set(current_request().record.request_id)

    def finish(response: Response) -> Response:
        """Add what every response carries, which no route sets itself, and send the record."""
        request = current_request()
        route = request.url_rule.rule if request.url_rule else "unmatched"
        record = request.record._replace(
            method=request.method,
            route=route,
            status=response.status_code,
            seconds=perf_counter() - request.started,
        )
        added = {"X-Request-Id": record.request_id, "X-Content-Type-Options": "nosniff"}
        if request.endpoint != "static":
            added["Cache-Control"] = "no-store"
        for name, value in (added | dict(record.quota_headers)).items():
            response.headers.add(name, value)
        for written in (audit, log, metrics):
            written.write(record)
        return response

    def answer_fault(fault: Exception) -> Response:
        request = current_request()
        return answer_error(request.note_fault(fault, events.get(request.blueprint or "")))

    app.before_request(begin)
    app.after_request(finish)  # what is registered first runs last
    app.register_error_handler(ServiceError, answer_error)
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(Exception, answer_fault)
    install_cors(app, settings)


def answer_error(error: ServiceError) -> Response:
    """Answer one of our own errors, and record it where an exchange has not."""
    request = current_request()
    if request.record.error is not error:
        request.record = request.record._replace(error=error)
    return json_response(error.body, error.status, error.headers)


def answer_http_error(error: HTTPException) -> Response:
    """Answer what Flask refuses, such as an unknown route, in the same shape as everything else."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    request, code = current_request(), code_of(status)
    request.record = request.record._replace(http_error=code)
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    methods = error.valid_methods or () if isinstance(error, MethodNotAllowed) else ()
    message = _MESSAGES.get(status, f"{status.phrase}.")
    headers = {"Allow": ", ".join(sorted(methods))} if methods else None
    return json_response(error_body(message, type=kind, code=code), status, headers)
