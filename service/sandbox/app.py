"""The sandbox as a WSGI application; it needs gunicorn, whose sockets the WebSockets and faults use."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.exceptions import HTTPException

from service.sandbox.azure import Azure, inner_path
from service.sandbox.calls.registry import Calls
from service.sandbox.credentials import SecretStore
from service.sandbox.errors import ApiError
from service.sandbox.http import routes, sidebands, websockets
from service.sandbox.http.calls import calls
from service.sandbox.http.connection import share_connection
from service.sandbox.http.state import OpenSockets, State, attach

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_MAX_BODY_BYTES = 1024 * 1024


def create_sandbox(
    *,
    beta: bool = False,
    azure: Azure | None = None,
    ping_seconds: float = 20.0,
    connection_lost_seconds: float = 30.0,
    max_websockets: int = 750,
) -> Flask:
    """Build a sandbox without any secrets yet.

    With ``beta`` it also speaks the retired beta: its mint, its header and subprotocol, its events. With ``azure`` it
    is that resource instead. WebSockets are pinged every ``ping_seconds``, as the vendor does about every 20 s. A Live
    session waits ``connection_lost_seconds`` for a client that has disconnected (observed: some 30 s).
    ``max_websockets`` are open at once, sidebands included: each has one of the server's 1,000 threads. The token
    service may end 512 calls at a time, by sidebands; where one is refused, it ends the call by a request, for which
    the other 250 threads are.
    """
    app = Flask(__name__, static_folder=None)
    app.config["SOCK_SERVER_OPTIONS"] = websockets.OPTIONS
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY_BYTES
    app.logger.setLevel(logging.INFO)  # the application's own logger, for a line at each session
    app.json.sort_keys = False  # type: ignore[attr-defined] # the provider that Flask comes with has it
    calls_here = Calls(lost_seconds=connection_lost_seconds)
    secrets = SecretStore(time.time)
    attach(app, State(secrets, calls_here, beta, ping_seconds, OpenSockets(max_websockets), azure))
    if azure:
        app.wsgi_app = _on_azure(app.wsgi_app)  # type: ignore[method-assign,assignment] # as Flask documents for middleware
    app.before_request(routes.before_request)
    app.before_request(websockets.before_request)
    app.before_request(sidebands.before_request)
    app.before_request(share_connection)
    app.after_request(routes.after_request)
    app.register_error_handler(ApiError, routes.handle_api_error)
    app.register_error_handler(HTTPException, routes.handle_http_exception)
    app.register_blueprint(routes.api)
    app.register_blueprint(routes.controls)
    app.register_blueprint(calls)
    websockets.sock.init_app(app)
    return app


def _on_azure(app: WSGIApplication) -> WSGIApplication:
    """Serve the vendor's paths where Azure has them, and nothing elsewhere."""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = inner_path(environ["PATH_INFO"])
        return app({**environ, "PATH_INFO": "/" if path is None else path}, start_response)

    return serve
