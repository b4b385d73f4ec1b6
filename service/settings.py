"""Compose the settings of all packages, and validate them together at start."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Self, get_type_hints
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from service.auth.settings import AuthSettings
from service.calls.settings import CallSettings
from service.core.environment import ConfigurationError, EnvironmentModel, Problem
from service.core.environment_types import is_loopback, is_private_host
from service.core.environment_values import FILE_SUFFIX
from service.core.misspelt import Misspelt, find_misspelt
from service.core.model import pseudonym
from service.http.settings import HttpSettings
from service.limits.settings import LimitSettings
from service.observe.settings import ObserveSettings
from service.policy.explain import warnings as policy_warnings
from service.policy.settings import CONFLICTING, PolicySettings
from service.policy.settings import build as build_policy
from service.store.settings import StoreSettings
from service.vendors.dialect import possible_vendors
from service.vendors.settings import VendorSettings


def listening_host(text: str) -> str:
    """Check an address or name to listen on."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:]+(%\w+)?", text):
        raise ValueError(
            "must be one address, such as 0.0.0.0 or ::, without http:// and port (that is PORT's)"
        )
    return text


class ServerSettings(EnvironmentModel):
    """The address, processes, and requests in flight in each."""

    host: Annotated[str, AfterValidator(listening_host)] = "0.0.0.0"  # noqa: S104 - a dyno is reached from outside
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    web_concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    web_connections: Annotated[int, Field(ge=1, le=100_000)] = 1000


@dataclass(frozen=True, slots=True)
class Settings:
    """All groups, in the contract's order. A command that needs fewer reads one alone, with ``Group.from_environ``."""

    vendor: VendorSettings
    auth: AuthSettings
    policy: PolicySettings
    limits: LimitSettings
    calls: CallSettings
    store: StoreSettings
    observe: ObserveSettings
    http: HttpSettings
    server: ServerSettings
    misspelt: tuple[Misspelt, ...] = ()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read every group from a mapping.

        Raises:
            ConfigurationError: naming every variable with a problem, of all groups, and no value.
        """
        groups, problems = read_groups(environ)
        problems += find_conflicts(problems, environ)
        misspelt = find_misspelt(environ, cls.names())
        if problems:
            raise ConfigurationError(tuple(_with_misspelt(problem, misspelt) for problem in problems))
        return cls(**groups, misspelt=misspelt)

    @classmethod
    def variables(cls) -> dict[str, Any]:
        """Map each variable's name to its default, in the order they are declared."""
        return {name: default for group in _GROUPS.values() for name, default in group.variables().items()}

    @classmethod
    def names(cls) -> frozenset[str]:
        """Name everything that is read: the variables, and for each secret the one that names its file."""
        secret = frozenset().union(*(group.secret_variables() for group in _GROUPS.values()))
        return frozenset(cls.variables()) | {name + FILE_SUFFIX for name in secret}

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret value, for the log's last check against them."""
        groups: list[EnvironmentModel] = [getattr(self, name) for name in _GROUPS]
        return frozenset().union(*(group.secrets for group in groups))

    @property
    def pseudonym_key(self) -> bytes:
        """The HMAC key that hides users: ``SAFETY_IDENTIFIER_SECRET``, else one derived from the API key."""
        if self.vendor.safety_identifier_secret:
            return self.vendor.safety_identifier_secret.get_secret_value().encode()
        key = self.vendor.openai_api_key
        if key is None:
            raise AssertionError("without a key SAFETY_IDENTIFIER_SECRET is required")
        return hmac.new(key.get_secret_value().encode(), b"safety-identifier", hashlib.sha256).digest()

    def pseudonym_of(self, subject: str, issuer: str | None) -> str:
        """Name a user by ``sub``, and ``iss`` where several issuers are trusted.

        Raises:
            ValueError: saying which issuer to name.
        """
        known = {*self.auth.jwt_issuer, *self.auth.preset_issuers}
        if issuer is not None and issuer not in known:
            raise ValueError(
                f"tokens of that issuer are not accepted; name one of {', '.join(sorted(known))}"
            )
        return pseudonym(self.pseudonym_key, self.auth.user_namespace(issuer), subject)

    @property
    def processes(self) -> int:
        """How many worker processes may run: one where limits are counted in its memory."""
        return 1 if self.store.is_memory else self.server.web_concurrency

    @property
    def uses_requests(self) -> bool:
        """Whether key sets are fetched, or the vendor is reached by a proxy: ``requests`` does both."""
        fetched = self.auth.jwt_jwks_url or self.auth.discovered_issuers
        return bool(fetched or self.vendor.network.proxy(self.vendor.openai_base_url))

    def warnings(self) -> tuple[str, ...]:
        """List what the admin should look at, though the service can start with it."""
        wanted, policy = self.server.web_concurrency, self.policy
        found = [str(each.problem) for each in self.misspelt]
        if self.processes < wanted:
            found.append(
                f"WEB_CONCURRENCY: {wanted} processes were asked for and {self.processes} runs, "
                "since limits are counted in memory; set RATE_LIMIT_STORAGE_URL to share them"
            )
        if policy.default_model not in policy.allowed_models:
            found.append(
                "DEFAULT_MODEL: it is not in ALLOWED_MODELS, so a caller who names no model is refused"
            )
        found += self._address_warnings()
        found += self.auth.auth_warnings()
        found += self._call_warnings()
        found += self.limits.limit_rules.warnings()
        decided = build_policy(policy, self.vendor.vendor.layout)
        found += [f"SESSION_POLICY: {warning}" for warning in policy_warnings(decided)]
        return tuple(found)

    def _call_warnings(self) -> Iterator[str]:
        policy, secret = self.policy, self.vendor.safety_identifier_secret
        if policy.call_types and self.store.is_memory:
            yield (
                "RATE_LIMIT_STORAGE_URL: calls are kept in memory; they are ended when the process stops, and after"
                " a crash they run until the vendor ends them; set it to the URL of a Redis"
            )
        if self.calls.admin_token and not secret:
            yield (
                "SAFETY_IDENTIFIER_SECRET: without it users are named by a key that is derived from OPENAI_API_KEY,"
                " so a new API key renames every user, and earlier revocations no longer apply"
            )
        if (
            self.calls.admin_token
            and self.store.rate_limit_on_storage_failure == "local"
            and not self.store.is_memory
        ):
            yield (
                "RATE_LIMIT_ON_STORAGE_FAILURE: local does not check revocations while the storage is unavailable"
            )

    def _address_warnings(self) -> list[str]:
        """List what may be wrong about where others are reached, and who reaches us."""
        found = [
            f"ALLOW_INSECURE_HOSTS: {host} does not look like a host of a private network: traffic to it, "
            "keys included, is not encrypted; use https, or list private hosts only"
            for host in self.vendor.allow_insecure_hosts
            if not is_private_host(host)
        ]
        public = urlsplit(self.vendor.endpoint.base_url)
        if public.scheme == "http" and not is_loopback(public.hostname):
            found.append(
                f"REALTIME_PUBLIC_URL: clients are told to connect to http://{public.netloc}, which browsers on "
                "https pages refuse; set it to the https address that clients reach"
            )
        if self.http.client_address_header and self.http.trusted_proxy_hops:
            found.append(
                "TRUSTED_PROXY_HOPS: it has no effect beside CLIENT_ADDRESS_HEADER; unset one of the two"
            )
        return found


_GROUPS: Mapping[str, type[EnvironmentModel]] = {
    name: kind
    for name, kind in get_type_hints(Settings).items()
    if isinstance(kind, type) and issubclass(kind, EnvironmentModel)
}


def _with_misspelt(problem: Problem, misspelt: Collection[Misspelt]) -> Problem:
    """Say with a variable's problem that it may have been set under another name."""
    for each in misspelt:
        if each.meant == problem.variable:
            also = f"{each.problem.variable} is set, but not read: rename it"
            return replace(problem, message=f"{problem.message} ({also})")
    return problem


def read_groups(environ: Mapping[str, str]) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Read each group by itself; return those without problems by name, and all problems, each once."""
    groups: dict[str, Any] = {}
    problems: dict[Problem, None] = {}  # in order; a variable that two groups read is reported once
    for name, group in _GROUPS.items():
        try:
            groups[name] = group.from_environ(environ)
        except ConfigurationError as error:
            problems |= dict.fromkeys(error.problems)
    return groups, tuple(problems)


def find_conflicts(found: Collection[Problem], environ: Mapping[str, str]) -> tuple[Problem, ...]:
    """List what the policy's variables ask of each other, or of a vendor that does not have it.

    ``found`` are the problems of variables by themselves, whose conflicts are not known. Where the vendor is not known,
    a conflict counts if every vendor has it.
    """
    wrong = {problem.variable.removesuffix(FILE_SUFFIX) for problem in found}
    wrong |= {"TOKEN_TTL"} if "TOKEN_MAX_TTL" in wrong else set()  # it need not be below the default maximum
    readable = {name: value for name, value in environ.items() if name.removesuffix(FILE_SUFFIX) not in wrong}
    try:
        policy = PolicySettings.from_environ(readable)
    except ConfigurationError:
        return ()
    first, *others = (policy.problems(vendor.layout) for vendor in possible_vendors(readable, wrong))
    of_others = [{problem.variable for problem in problems} for problems in others]
    known = {problem.variable for problem in first if not wrong & CONFLICTING[problem.variable]}
    return tuple(problem for problem in first if problem.variable in known.intersection(*of_others))


@cache
def process_settings() -> Settings:
    """Return this process's settings, read once; a worker inherits what its master read and validated.

    Raises:
        ConfigurationError: the environment has problems.
    """
    return Settings.from_environ(os.environ)
