"""The environment of a command: this process's, and a ``.env`` file in the working directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click
from dotenv import dotenv_values


def _read(ctx: click.Context, param: click.Parameter, no_env_file: bool) -> dict[str, str]:  # noqa: ARG001, FBT001 - click's signature
    try:
        environ = dict(os.environ) if no_env_file else with_env_file(os.environ, Path(".env"))
    except (OSError, UnicodeError) as error:
        raise click.ClickException(str(error)) from None
    # azure-identity reads its variables from the process's own environment.
    os.environ.update({name: value for name, value in environ.items() if name.startswith("AZURE_")})
    return environ


environ_option = click.option(
    "--no-env-file",
    "environ",
    is_flag=True,
    callback=_read,
    help="Read the environment only, and no .env file in the working directory.",
)
"""The option of every command that reads the environment. It passes ``environ``, a dictionary of the variables."""


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
