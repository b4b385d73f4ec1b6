"""The WSGI application: ``gunicorn --config python:service.gunicorn_conf wsgi:app``."""

from __future__ import annotations

from service.app import create_app
from service.settings import process_settings

app = create_app(process_settings())
