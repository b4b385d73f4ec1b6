"""The ``check`` command: the environment, read as the service would read it."""

from __future__ import annotations

import json
import os
import sys
from typing import TextIO

import click

from service.check.plan import check_one_token, checks
from service.check.running import run


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
@click.option(
    "--token",
    type=click.File("r"),
    metavar="FILE",
    help="Check one user's JWT (- reads standard input) as the service would, and nothing else.",
)
def check(*, as_json: bool, token: TextIO | None) -> None:
    """Say whether this environment is fit to serve, and what mends it.

    Reads the variables, asks the vendor whether the key and the models are good (which costs nothing),
    fetches the identity provider's keys, counts once in the limit storage, and compares proxies and
    processes with the host. Exits with 0 only if all is well.
    """
    findings = check_one_token(token.read(), os.environ) if token else run(checks(os.environ))
    well = all(finding.well for finding in findings)
    if as_json:
        click.echo(
            json.dumps({"well": well, "findings": [finding.members for finding in findings]}, indent=2)
        )
    else:
        for finding in findings:
            click.echo(finding.line)
    sys.exit(0 if well else 1)
