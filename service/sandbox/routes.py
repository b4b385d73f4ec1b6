"""HTTP: minting, models, and what the vendor puts on every answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from service.sandbox import models
from service.sandbox.credentials import bearer, check_key
from service.sandbox.faults import Abandoned, fault_for
from service.sandbox.ids import new_id
from service.sandbox.minting import Minter, requested_model
from service.sandbox.refusal import Refusal
from service.sandbox.state import current
from service.vendors import wire

BASE_PATH = "/v1"

api = Blueprint("api", __name__, url_prefix=BASE_PATH)
controls = Blueprint("controls", __name__, url_prefix="/sandbox")

_MINT_PATHS = frozenset(
    BASE_PATH + path
    for path in (wire.CLIENT_SECRETS_PATH, wire.TRANSLATION_CLIENT_SECRETS_PATH, wire.BETA_SESSIONS_PATH)
)


@api.post(wire.CLIENT_SECRETS_PATH)
def client_secrets() -> Response:
    """Mint for a conversation or a transcription."""
    return _minted(_minter().mint)


@api.post(wire.TRANSLATION_CLIENT_SECRETS_PATH)
def translation_client_secrets() -> Response:
    """Mint for a translation."""
    return _minted(_minter().mint_translation)


@api.post(wire.BETA_SESSIONS_PATH)
def beta_sessions() -> Response:
    """Mint as the beta did; elsewhere this route is unknown."""
    if not current().beta:
        raise NotFound
    return _minted(_minter().mint_beta)


@api.get(wire.MODELS_PATH)
def list_models() -> Response:
    """List the models."""
    require_key()
    return jsonify({"object": "list", "data": models.listing(beta=current().beta)})


@api.get(wire.MODELS_PATH + "/<name>")
def one_model(name: str) -> Response:
    """Describe one model."""
    require_key()
    found = next((model for model in models.listing(beta=current().beta) if model["id"] == name), None)
    if found is None:
        message = f"The model '{name}' does not exist"
        raise Refusal(message, code="model_not_found", param="model", status=404)
    return jsonify(found)


@controls.get("/mints")
def mints() -> Response:
    """Tell tests what was asked of the minting routes; the sandbox's own, not the vendor's."""
    return jsonify(current().recorder.report())


@controls.post("/reset")
def reset() -> Response:
    """Forget what ``mints`` tells; secrets stay as they are."""
    current().recorder.clear()
    return Response(status=204)


@controls.post("/expire")
def expire() -> Response:
    """Let every secret minted so far have expired."""
    current().vault.expire_all()
    return Response(status=204)


def require_key() -> None:
    """Hold the request to a standard key.

    Raises:
        Refusal: 401, where there is none, or one that the sandbox takes for invalid.
    """
    check_key(bearer(request.headers.get(wire.AUTHORIZATION_HEADER)))


def before() -> None:
    """Name the request, and note it where it is for a secret."""
    g.started = time.perf_counter()
    g.request_id = new_id("req")
    if request.method == "POST" and request.path in _MINT_PATHS:
        g.mint = current().recorder.begin(request.path, request.headers, request.get_data())


def after(response: Response) -> Response:
    """Put on an answer what the vendor puts on each."""
    if "mint" in g and not isinstance(response, Abandoned):
        g.mint.status = response.status_code
    headers = response.headers
    headers[wire.REQUEST_ID_HEADER] = g.request_id
    headers["openai-version"] = "2020-10-01"
    headers["openai-processing-ms"] = str(round((time.perf_counter() - g.started) * 1000))
    headers["Access-Control-Allow-Origin"] = "*"
    headers["Access-Control-Expose-Headers"] = "Location, Retry-After, X-Request-Id"
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        headers["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "*")
    return response


def refused(refusal: Refusal) -> tuple[Response, int, dict[str, str]]:
    """Answer in the vendor's error shape."""
    return jsonify({"error": refusal.error}), refusal.status, dict(refusal.headers)


def failed(error: HTTPException) -> tuple[Response, int, dict[str, str]]:
    """Bring Flask's own refusals into the vendor's shape, and tell whoever runs the sandbox."""
    path = f"{request.method} {request.path}"
    if isinstance(error, NotFound):
        message, code = f"Invalid URL ({path})", None
    elif isinstance(error, MethodNotAllowed):
        hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
        message, code = f"Not allowed to {request.method} on {request.path} {hint}", "method_not_supported"
    else:
        message, code = error.description or error.name, None
    status = error.code or 500
    kind = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004 - server errors
    current_app.logger.warning("%s: the sandbox answers %d", path, status)
    return refused(Refusal(message, code=code, kind=kind, status=status))


def _minter() -> Minter:
    return Minter(current().vault, new_id)


def _minted(mint: Callable[[Any], dict[str, Any]]) -> Response:
    require_key()
    body = _json_body()
    fault = fault_for(requested_model(body))
    if fault:
        return fault()
    answer = jsonify(mint(body))
    g.mint.minted = True
    return answer


def _json_body() -> Any:
    if not request.get_data():
        return {}
    body = request.get_json(silent=True, force=True)
    if body is None:
        message = "We could not parse the JSON body of your request."
        raise Refusal(message, code="invalid_json")
    return body
