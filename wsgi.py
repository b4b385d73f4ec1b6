"""The WSGI application: ``gunicorn --config python:service.gunicorn_conf wsgi:app``, or any other WSGI server."""

from __future__ import annotations

from service.app import create_app
from service.observe import logs
from service.settings import process_settings

settings = process_settings()
logs.configure_once(settings.observe, settings.secrets)  # gunicorn's master has done so already
app = create_app(settings)
