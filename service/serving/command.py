"""The ``serve`` command: from an environment that was checked to gunicorn."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from dotenv import dotenv_values

from service.core.environment import ConfigurationError
from service.settings import Settings

GUNICORN = (sys.executable, "-m", "gunicorn", "--config", "python:service.gunicorn_conf", "wsgi:app")


@click.command()
@click.option("--no-env-file", is_flag=True, help="Read the environment alone, and no .env file.")
def serve(*, no_env_file: bool) -> None:
    """Check the environment, then serve with gunicorn.

    Variables are also read from a file .env in the working directory; those of the environment have precedence.
    A wrong environment is reported as a whole, and nothing is served. The start logs what is in force.
    """
    try:
        environ = dict(os.environ) if no_env_file else with_env_file(os.environ, Path(".env"))
        Settings.from_environ(environ)
    except (ConfigurationError, OSError, UnicodeError) as error:
        sys.exit(str(error))
    sys.stdout.flush()
    # Replaces this process, so that a signal to it reaches gunicorn.
    os.execve(GUNICORN[0], GUNICORN, for_gunicorn(environ))  # noqa: S606 - our own interpreter, without a shell


def with_env_file(environ: Mapping[str, str], path: Path) -> dict[str, str]:
    """Add a file's variables to those of the environment that are empty or missing.

    Values stand in the file as they are: ``$`` is no reference to another variable, since a secret may hold it.

    Raises:
        OSError, UnicodeError: where there is such a file that cannot be read as text in UTF-8.
    """
    if not path.is_file():
        return dict(environ)
    try:
        found = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except UnicodeError:
        raise UnicodeError(f"{path} is not text in UTF-8; save it as such, or use --no-env-file.") from None
    except OSError as error:
        raise OSError(
            f"{path} cannot be read ({error.strerror}); correct that, or use --no-env-file."
        ) from None
    given = {name: value for name, value in environ.items() if value.strip()}
    return {**environ, **{name: value for name, value in found.items() if value is not None}, **given}


def for_gunicorn(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave out an empty ``WEB_CONCURRENCY``: gunicorn reads a number from it when it is imported."""
    empty = not environ.get("WEB_CONCURRENCY", "").strip()
    return {name: value for name, value in environ.items() if not (empty and name == "WEB_CONCURRENCY")}
