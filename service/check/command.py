"""The ``check`` command: the environment, read as the service would read it."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO, TypeVar

import click

from service.auth.factory import build as build_authenticator
from service.auth.factory import build_key_sets
from service.auth.settings import AuthSettings
from service.auth.token_check import check_token
from service.check.calls import check_calls
from service.check.finding import Finding, problem, run
from service.check.host import check_proxies, check_workers, find_host
from service.check.parts import check_key_sets, check_storage, check_variables
from service.check.vendor import check_vendor
from service.core.environment import ConfigurationError, EnvironmentModel, Problem
from service.http.settings import HttpSettings
from service.policy.settings import PolicySettings
from service.settings import ServerSettings, Settings
from service.store import MemoryStore
from service.store.settings import StoreSettings
from service.vendors.outbound import Network
from service.vendors.settings import VendorSettings

Group = TypeVar("Group", bound=EnvironmentModel)
Check = Callable[[], list[Finding]]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
@click.option(
    "--token",
    type=click.File("r"),
    metavar="FILE",
    help="Check one user's JWT (- reads standard input) as the service would, and nothing else.",
)
def check(*, as_json: bool, token: TextIO | None) -> None:
    """Say whether this environment is fit to serve, and how to fix what is not.

    Reads the variables, asks the vendor whether the key and the models are good (which costs nothing),
    fetches the identity provider's keys, counts once in the limit storage, and compares proxies and
    processes with the host. Exits with 0 only if there is no problem.
    """
    findings = check_one_token(token.read(), os.environ) if token else run(checks(os.environ))
    ok = all(finding.ok for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": ok, "findings": [finding.members for finding in findings]}, indent=2))
    else:
        for finding in findings:
            click.echo(finding.line)
    sys.exit(0 if ok else 1)


def checks(environ: Mapping[str, str]) -> dict[str, Check]:
    """List what can be checked: a group of variables with problems takes only its own parts out."""
    vendor = _group(VendorSettings, environ)
    policy = _group(PolicySettings, environ)
    auth = _group(AuthSettings, environ)
    store = _group(StoreSettings, environ)
    http = _group(HttpSettings, environ)
    server = _group(ServerSettings, environ)
    network = vendor.network if vendor else Network()
    planned: dict[str, Check] = {
        "variables": lambda: check_variables(environ, known=Settings.variables(), problems=_problems(environ))
    }
    if vendor and policy:
        planned["key"] = lambda: check_vendor(
            network, vendor=vendor, models=policy.allowed_models, clock=time.time
        )
    if auth:
        planned["JWKS"] = lambda: check_key_sets(build_key_sets(auth, network))
    if store:
        planned["limit storage"] = lambda: [check_storage(store)]
    if vendor and policy and store:
        planned["calls"] = lambda: check_calls(vendor, policy, store)
    if http:
        planned["proxies"] = lambda: [check_proxies(find_host(environ), http.trusted_proxy_hops)]
    if store and server:
        planned["workers"] = lambda: [_workers(store, server)]
    return planned


def check_one_token(text: str, environ: Mapping[str, str]) -> list[Finding]:
    """Take one user's token through every check of the service. No finding holds the token."""
    try:
        settings = AuthSettings.from_environ(environ)
    except ConfigurationError as error:
        return [problem(found.variable, "cannot be used", found.message) for found in error.problems]
    vendor = _group(VendorSettings, environ)
    network = vendor.network if vendor else Network()
    authenticator = build_authenticator(
        settings, network=network, pseudonym_key=b"unused", store=MemoryStore()
    )
    return [
        Finding(result.name, result.passed, f"{result.found} (expected: {result.expected})", result.reason)
        for result in check_token(text, authenticator, now=time.time())
    ]


def _group(kind: type[Group], environ: Mapping[str, str]) -> Group | None:
    try:
        return kind.from_environ(environ)
    except ConfigurationError:
        return None


def _problems(environ: Mapping[str, str]) -> tuple[Problem, ...]:
    try:
        Settings.from_environ(environ)
    except ConfigurationError as error:
        return error.problems
    return ()


def _workers(store: StoreSettings, server: ServerSettings) -> Finding:
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return check_workers(
        wanted=server.web_concurrency,
        in_memory=store.is_memory,
        connections=server.web_connections,
        files=files,
    )
