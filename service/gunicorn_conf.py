"""gunicorn's settings under their public name: ``gunicorn --config python:service.gunicorn_conf wsgi:app``."""

from service.serving.gunicorn_conf import *  # noqa: F403 - gunicorn reads each setting as a name of this module
