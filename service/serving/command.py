"""The ``serve`` command: from an environment that was checked to gunicorn."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import click

from service.core.env_file import environ_option
from service.core.environment import ConfigurationError
from service.settings import ServerSettings, Settings

GUNICORN = (sys.executable, "-m", "gunicorn", "--config", "python:service.gunicorn_conf", "wsgi:app")


@click.command()
@environ_option
def serve(environ: dict[str, str]) -> None:
    """Check the environment, then serve with gunicorn.

    Variables are also read from a file .env in the working directory; those of the environment have precedence.
    A wrong environment is reported as a whole, and nothing is served. The start logs what is in force.
    """
    try:
        settings = Settings.from_environ(environ)
    except ConfigurationError as error:
        sys.exit(str(error))
    sys.stdout.flush()
    # Replaces this process, so that a signal to it reaches gunicorn.
    os.execve(GUNICORN[0], GUNICORN, for_gunicorn(environ, settings.server))  # noqa: S606 - our own interpreter, without a shell


def for_gunicorn(environ: Mapping[str, str], server: ServerSettings) -> dict[str, str]:
    """Write ``WEB_CONCURRENCY`` as a plain number: gunicorn's import reads it with ``int``, which fails on ``2.0``."""
    return {**environ, "WEB_CONCURRENCY": str(server.web_concurrency)}
