"""The demo's WSGI application: the token service, the page, and what makes both easy to try."""

from __future__ import annotations

import os

from service.app import create_app
from service.demo.environment import HOSTS_VARIABLE, LIVE_VARIABLE, SANDBOX_VARIABLE
from service.demo.front import Front
from service.demo.page import demo_routes
from service.demo.terminal import print_requests
from service.settings import process_settings

_settings = process_settings()
_sandbox = os.environ.get(SANDBOX_VARIABLE)
_live = LIVE_VARIABLE in os.environ

app = create_app(_settings)
app.register_blueprint(demo_routes(_settings, live=_live))
print_requests(app)
app.wsgi_app = Front(  # type: ignore[method-assign] # where Flask has middleware put
    app.wsgi_app,
    own_hosts=os.environ.get(HOSTS_VARIABLE, "").split(","),
    sandbox_port=int(_sandbox) if _sandbox else None,
    loopback_only=_live,
)
