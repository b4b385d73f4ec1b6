"""The demo's WSGI application: the token service, and the page."""

from __future__ import annotations

from service.app import create_app
from service.demo.page import demo_routes
from service.settings import process_settings

app = create_app(process_settings())
app.register_blueprint(demo_routes(process_settings()))
