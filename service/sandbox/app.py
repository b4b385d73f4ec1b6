"""The sandbox as a WSGI application; it needs gunicorn, whose sockets it uses."""

from __future__ import annotations

import time

from flask import Flask
from werkzeug.exceptions import HTTPException

from service.sandbox import routes, sockets
from service.sandbox.calls import calls
from service.sandbox.refusal import Refusal
from service.sandbox.state import State, attach
from service.sandbox.vault import Vault

_MAX_BODY_BYTES = 1024 * 1024


def create_sandbox(*, beta: bool = False, ping_seconds: float = 20.0) -> Flask:
    """Build a sandbox with an empty memory.

    With ``beta`` it speaks the retired beta too: its mint, its header and subprotocol, its events. WebSockets are
    pinged every ``ping_seconds``, as the vendor does about every 20 s.
    """
    app = Flask(__name__, static_folder=None)
    app.config["SOCK_SERVER_OPTIONS"] = sockets.OPTIONS
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined] # the provider that Flask comes with has it
    attach(app, State(Vault(time.time), beta, ping_seconds))
    app.before_request(routes.before)
    app.before_request(sockets.before)
    app.after_request(routes.after)
    app.register_error_handler(Refusal, routes.refused)
    app.register_error_handler(HTTPException, routes.failed)
    app.register_blueprint(routes.api)
    app.register_blueprint(routes.controls)
    app.register_blueprint(calls)
    sockets.sock.init_app(app)
    return app
