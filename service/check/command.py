"""The ``check`` command: the environment, read as the service would read it."""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import BinaryIO, TypeVar

import click

from service.auth.factory import build as build_authenticator
from service.auth.factory import build_key_sets
from service.auth.settings import AuthSettings
from service.auth.token_check import CheckResult, check_token
from service.check.calls import check_calls
from service.check.finding import Finding, Report, TokenReport, run
from service.check.host import Host, check_proxies, check_workers, find_host
from service.check.parts import check_key_sets, check_storage, check_variables
from service.check.vendor import check_vendor
from service.core.env_file import environ_option
from service.core.environment import ConfigurationError, EnvironmentModel
from service.core.misspelt import find_misspelt
from service.http.settings import HttpSettings
from service.policy.settings import PolicySettings
from service.settings import ServerSettings, Settings
from service.store import MemoryStore
from service.store.settings import StoreSettings
from service.vendors.network import Network
from service.vendors.settings import VendorSettings

Group = TypeVar("Group", bound=EnvironmentModel)
Check = Callable[[], list[Finding]]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
@click.option(
    "--token",
    type=click.File("rb"),
    metavar="FILE",
    help="Check one user's JWT (- reads standard input) as the service would, and nothing else.",
)
@environ_option
def check(environ: dict[str, str], *, as_json: bool, token: BinaryIO | None) -> None:
    """Say whether this environment is fit to serve, and how to fix what is not.

    ✗ has to be fixed, ! is worth a look, ✓ is as it should be; the last line sums it up.
    Reads the variables, asks the vendor whether the key and the models are good (which costs nothing),
    fetches the identity provider's keys, counts once in the limit storage, and compares proxies and
    processes with the host. Exits with 0 only if there is no problem.
    """
    logging.getLogger().addHandler(logging.NullHandler())  # what fails is a finding, and no line before them
    report = check_one_token(read_text(token), environ) if token else Report(run(checks(environ)))
    click.echo(json.dumps(report.members, indent=2) if as_json else "\n".join(report.lines))
    sys.exit(0 if report.ok else 1)


def read_text(file: BinaryIO) -> str:
    """Read a file that another program wrote, perhaps with a byte order mark; what is not UTF-8 is no token."""
    return file.read().decode("utf-8-sig", "replace")


def checks(environ: Mapping[str, str]) -> dict[str, Check]:
    """List what can be checked: a group of variables with problems takes only its own parts out."""
    vendor = _group(VendorSettings, environ)
    policy = _group(PolicySettings, environ)
    auth = _group(AuthSettings, environ)
    store = _group(StoreSettings, environ)
    http = _group(HttpSettings, environ)
    server = _group(ServerSettings, environ)
    network = vendor.network if vendor else Network()
    planned: dict[str, Check] = {"variables": lambda: _variables(environ)}
    if vendor and policy:
        planned["key"] = lambda: check_vendor(
            network, vendor=vendor, models=policy.allowed_models, clock=time.time
        )
    if auth:
        planned["JWKS"] = lambda: check_key_sets(
            build_key_sets(auth, network), optional=auth.jwt_jwks_url if auth.key_set_is_optional else None
        )
    if store:
        planned["limit storage"] = lambda: [check_storage(store)]
    if vendor and policy and store:
        planned["calls"] = lambda: check_calls(vendor, policy, store)
    if http:
        planned["proxies"] = lambda: [check_proxies(find_host(environ), http.addresses)]
    if store and server:
        planned["workers"] = lambda: [_workers(find_host(environ), store, server)]
    return planned


def check_one_token(text: str, environ: Mapping[str, str]) -> Report:
    """Take one user's token through every check of the service. No finding holds the token."""
    try:
        settings = AuthSettings.from_environ(environ)
    except ConfigurationError as error:
        return Report(check_variables(problems=error.problems, misspelt=(), warnings=()))
    vendor = _group(VendorSettings, environ)
    network = vendor.network if vendor else Network()
    authenticator = build_authenticator(
        settings, network=network, pseudonym_key=b"unused", store=MemoryStore()
    )
    results = check_token(text, authenticator, now=time.time())
    return TokenReport([_finding(result) for result in results])


def _finding(result: CheckResult) -> Finding:
    seen = f"{result.found} (expected: {result.expected})"
    return Finding(result.name, "ok" if result.passed else "problem", seen, result.reason)


def _group(kind: type[Group], environ: Mapping[str, str]) -> Group | None:
    try:
        return kind.from_environ(environ)
    except ConfigurationError:
        return None


def _variables(environ: Mapping[str, str]) -> list[Finding]:
    """Report what a start with these variables would refuse, or else warn of."""
    misspelt = find_misspelt(environ, Settings.names())
    try:
        settings = Settings.from_environ(environ)
    except ConfigurationError as error:
        return check_variables(problems=error.problems, misspelt=misspelt, warnings=())
    # Of processes the part "workers" tells more.
    warnings = [text for text in settings.warnings() if not text.startswith("WEB_CONCURRENCY: ")]
    return check_variables(problems=(), misspelt=(), warnings=warnings)


def _workers(host: Host | None, store: StoreSettings, server: ServerSettings) -> Finding:
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return check_workers(
        host,
        wanted=server.web_concurrency,
        in_memory=store.is_memory,
        connections=server.web_connections,
        files=files,
    )
