"""HTTP routes for client secrets and models, the sandbox's own controls, and what every answer carries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from service.sandbox import json_text, models
from service.sandbox.azure import check_account, refuse_version
from service.sandbox.credentials import bearer, check_key
from service.sandbox.errors import ApiError
from service.sandbox.faults import NoResponse, fault_for
from service.sandbox.http.state import current
from service.sandbox.ids import new_id
from service.sandbox.minting import Minter, requested_model
from service.vendors import wire

BASE_PATH = "/v1"

api = Blueprint("api", __name__, url_prefix=BASE_PATH)
controls = Blueprint("controls", __name__, url_prefix="/sandbox")

_MINT_PATHS = frozenset(
    BASE_PATH + path
    for path in (wire.CLIENT_SECRETS_PATH, wire.TRANSLATION_CLIENT_SECRETS_PATH, wire.BETA_SESSIONS_PATH)
)
_SERVER_ERROR = 500


@api.post(wire.CLIENT_SECRETS_PATH)
def client_secrets() -> Response:
    """Mint a secret for a conversation or a transcription."""
    return _mint(_minter().mint, "realtime")


@api.post(wire.TRANSLATION_CLIENT_SECRETS_PATH)
def translation_client_secrets() -> Response:
    """Mint a secret for a translation."""
    return _mint(_minter().mint_translation, "translation")


@api.post(wire.BETA_SESSIONS_PATH)
def beta_sessions() -> Response:
    """Mint a secret as the beta did; 404 without ``--beta``."""
    if not current().beta:
        raise NotFound
    return _mint(_minter().mint_beta, "realtime")


@api.get(wire.MODELS_PATH)
def list_models() -> Response:
    """List the models."""
    require_key()
    return jsonify({"object": "list", "data": models.listing(beta=current().beta)})


@api.get(wire.MODELS_PATH + "/<name>")
def get_model(name: str) -> Response:
    """Describe one model."""
    require_key()
    found = next((model for model in models.listing(beta=current().beta) if model["id"] == name), None)
    if found is None:
        message = f"The model '{name}' does not exist"
        raise ApiError(message, code="model_not_found", param="model", status=404)
    return jsonify(found)


@controls.get("/mints")
def list_mints() -> Response:
    """Report all requests for secrets; the vendor has no such route."""
    return jsonify(current().recorder.report())


@controls.post("/reset")
def reset() -> Response:
    """Forget the recorded requests, and end and forget all calls; secrets stay valid."""
    current().recorder.clear()
    current().calls.reset()
    return Response(status=204)


@controls.post("/expire")
def expire() -> Response:
    """Let all secrets that were minted so far expire."""
    current().secrets.expire_all()
    return Response(status=204)


def require_key() -> None:
    """Check that the request carries a standard key, or what stands for one on Azure.

    Raises:
        ApiError: 401, if the key is missing or invalid.
    """
    token = bearer(request.headers.get(wire.AUTHORIZATION_HEADER))
    if current().azure:
        check_account(request.headers.get(wire.AZURE_KEY_HEADER, ""), token)
    else:
        check_key(token)


def before_request() -> None:
    """Give the request an id, and record it if it is for a secret."""
    g.started = time.perf_counter()
    g.request_id = new_id("req")
    if request.method == "POST" and request.path in _MINT_PATHS:
        g.mint = current().recorder.begin(request.path, request.headers, request.get_data())
    if current().azure:
        refuse_version(request.args)


def after_request(response: Response) -> Response:
    """Add the headers that the vendor sends with every answer."""
    if "mint" in g and not isinstance(response, NoResponse):
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


def handle_api_error(error: ApiError) -> tuple[Response, int, dict[str, str]]:
    """Answer in the vendor's error shape."""
    return jsonify({"error": error.body}), error.status, dict(error.headers)


def handle_http_exception(error: HTTPException) -> tuple[Response, int, dict[str, str]]:
    """Answer Flask's own errors in the vendor's shape, and log them for the person who runs the sandbox."""
    path = f"{request.method} {request.path}"
    if isinstance(error, NotFound):
        message, code = f"Invalid URL ({path})", None
    elif isinstance(error, MethodNotAllowed):
        hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
        message, code = f"Not allowed to {request.method} on {request.path} {hint}", "method_not_supported"
    else:
        message, code = error.description or error.name, None
    status = error.code or _SERVER_ERROR
    kind = "server_error" if status >= _SERVER_ERROR else "invalid_request_error"
    current_app.logger.warning("%s: the sandbox answers %d", path, status)
    return handle_api_error(ApiError(message, code=code, kind=kind, status=status))


def read_json() -> Any:
    """Read the body.

    Raises:
        ApiError: 400, if it is not JSON.
    """
    try:
        return json_text.parse(request.get_data())
    except ValueError:
        message = "We could not parse the JSON body of your request."
        raise ApiError(message, code="invalid_json") from None


def _minter() -> Minter:
    return Minter(current().secrets, new_id)


def _mint_deployed(mint: Callable[[Any], dict[str, Any]], body: Any, use: models.Use) -> dict[str, Any]:
    """Mint; on Azure the request names deployments, and so does the answer (assumed)."""
    azure, session = current().azure, body.get("session") if isinstance(body, dict) else None
    if azure is None or not isinstance(session, dict):
        return mint(body)
    answer = mint({**body, "session": azure.deployed(session, as_use=use)})
    return {**answer, "session": {**answer["session"], **{m: session[m] for m in ("model",) if m in session}}}


def _mint(mint: Callable[[Any], dict[str, Any]], use: models.Use) -> Response:
    require_key()
    body = read_json() if request.get_data() else {}
    fault = fault_for(requested_model(body))
    if fault:
        return fault()
    response = jsonify(_mint_deployed(mint, body, use))
    g.mint.minted = True
    return response
