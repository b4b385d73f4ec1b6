"""Which checks an environment allows."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from service.app import network_of
from service.auth.factory import build as build_authenticator
from service.auth.factory import build_key_sets
from service.auth.settings import AuthSettings
from service.auth.token_check import check_token
from service.check.finding import Finding, ill
from service.check.host import check_proxies, check_workers, find_host
from service.check.parts import check_key_sets, check_storage
from service.check.variables import check_variables
from service.check.vendor import check_vendor
from service.core.environment import ConfigurationError, EnvironmentModel, Problem
from service.http.settings import ServingSettings
from service.limits.counting import open_counter
from service.limits.settings import LimitSettings
from service.limits.storage import mask_url
from service.policy.settings import PolicySettings
from service.settings import Settings
from service.vendors.outbound import Network
from service.vendors.settings import UpstreamSettings

Group = TypeVar("Group", bound=EnvironmentModel)
Check = Callable[[], list[Finding]]


def checks(environ: Mapping[str, str]) -> dict[str, Check]:
    """List what can be checked: a group of variables with problems takes only its own parts out."""
    upstream = _group(UpstreamSettings, environ)
    policy = _group(PolicySettings, environ)
    auth = _group(AuthSettings, environ)
    limits = _group(LimitSettings, environ)
    serving = _group(ServingSettings, environ)
    network = network_of(upstream) if upstream else Network()
    planned: dict[str, Check] = {
        "variables": lambda: check_variables(environ, known=Settings.variables(), problems=_problems(environ))
    }
    if upstream and policy:
        planned["key"] = lambda: check_vendor(
            network, api=upstream.api, models=policy.allowed_models, clock=time.time
        )
    if auth:
        planned["JWKS"] = lambda: check_key_sets(build_key_sets(auth, network))
    if limits:
        planned["limit storage"] = lambda: [_storage(limits)]
        planned["proxies"] = lambda: [check_proxies(find_host(environ), limits.trusted_proxy_hops)]
    if limits and serving:
        planned["workers"] = lambda: [_workers(limits, serving)]
    return planned


def check_one_token(text: str, environ: Mapping[str, str]) -> list[Finding]:
    """Take one user's token through every check of the service. No finding holds the token."""
    try:
        settings = AuthSettings.from_environ(environ)
    except ConfigurationError as error:
        return [ill(problem.variable, "cannot be used", problem.message) for problem in error.problems]
    upstream = _group(UpstreamSettings, environ)
    network = network_of(upstream) if upstream else Network()
    authenticator = build_authenticator(settings, network=network, pseudonym_key=b"unused", single_use=None)
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


def _storage(limits: LimitSettings) -> Finding:
    url = limits.storage_url.get_secret_value()
    return check_storage(
        lambda: open_counter(url, limits.rate_limit_strategy, on_heroku=limits.on_heroku),
        shown=mask_url(url),
    )


def _workers(limits: LimitSettings, serving: ServingSettings) -> Finding:
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return check_workers(
        wanted=serving.web_concurrency,
        in_memory=limits.counts_in_memory,
        connections=serving.web_connections,
        files=files,
    )
