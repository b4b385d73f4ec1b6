"""The table of vendors, and the variables that choose one: it decides what is minted and what a policy can refer to."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from service.core.environment import ConfigurationError
from service.core.environment_types import InsecureHosts, model_names, secure_base_url_setting
from service.vendors import wire
from service.vendors.azure import Azure, AzureCalls
from service.vendors.base import Vendor
from service.vendors.credentials import KEY_ADVICE
from service.vendors.openai import OpenAI
from service.vendors.openai_beta import OpenAIBeta
from service.vendors.openai_calls import OpenAICalls
from service.vendors.xai import XAI


@dataclass(frozen=True, slots=True)
class VendorRow:
    """One vendor: how to make its value, from public names and what they are called there, and how to recognise it.

    ``beta`` is its retired dialect. ``hosts`` are endings of its hosts' names, on which every base URL has the path of
    ``example``. ``key_header`` carries its key, where that is no bearer token, and ``key_advice`` says what to do where
    the vendor refuses it. ``keyless`` tells whether Entra ID can stand for a key, ``deployments`` whether models have
    other names there, and ``organizations`` whether there are organizations and projects.
    """

    make: Callable[[Mapping[str, str]], Vendor]
    example: str
    hosts: tuple[str, ...]
    beta: Vendor | None = None
    key_header: str | None = None
    key_advice: str = KEY_ADVICE
    keyless: bool = False
    deployments: bool = False
    organizations: bool = False

    def has_host(self, host: str) -> bool:
        """Return whether a host is one of this vendor's."""
        return f".{host.rstrip('.')}".endswith(tuple(f".{name}" for name in self.hosts))


VENDORS: Final[Mapping[str, VendorRow]] = {
    "openai": VendorRow(
        make=lambda _: OpenAI(calls=OpenAICalls()),
        example="https://api.openai.com/v1",
        hosts=("openai.com",),
        beta=OpenAIBeta(),
        organizations=True,
    ),
    "azure": VendorRow(
        make=lambda deployments: Azure(deployments=deployments, calls=AzureCalls(deployments)),
        example=f"https://RESOURCE.openai.azure.com{wire.AZURE_BASE_PATH}",
        hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
        key_header=wire.AZURE_KEY_HEADER,
        key_advice="put one of the resource's two keys into OPENAI_API_KEY, and its own endpoint into OPENAI_BASE_URL",
        keyless=True,
        deployments=True,
    ),
    "xai": VendorRow(make=lambda _: XAI(), example="https://api.x.ai/v1", hosts=("x.ai",)),
}
"""By ``OPENAI_VENDOR``; a new vendor is a module beside these, and a row here."""

_DEFAULT: Final = "openai"

_ROUTE: Final = re.compile(
    r"/(realtime|client_secrets|sessions|transcription_sessions|translations|chat|completions|responses|models|calls)\Z"
)


_CHOOSING: Final = frozenset({"OPENAI_BASE_URL", "OPENAI_VENDOR", "REALTIME_API", "ALLOW_INSECURE_HOSTS"})
"""The variables by which the vendor and its dialect are chosen."""


def api_base(text: str, info: ValidationInfo) -> str:
    """Check a URL that paths are appended to, so that a route in it, or a missing version, would be a 404."""
    url = secure_base_url_setting(text, info)
    parts = urlsplit(url)
    row = _row_by_host(parts.hostname)
    example = (row or VENDORS[_DEFAULT]).example
    if _ROUTE.search(parts.path):
        raise ValueError(f"names a route; it must be the API's base alone, such as {example}")
    if row and parts.path != (path := urlsplit(example).path):
        raise ValueError(f"must end in {path} on this host, such as {example}")
    return url


def _row_by_host(host: str | None) -> VendorRow | None:
    return next((row for row in VENDORS.values() if row.has_host(host or "")), None)


class DialectSettings(InsecureHosts):
    """The vendor, and its API of today or the retired beta."""

    openai_base_url: Annotated[str, AfterValidator(api_base)] = VENDORS[_DEFAULT].example
    openai_vendor: str | None = None
    realtime_api: Literal["ga", "beta"] = "ga"
    deployments: Annotated[Mapping[str, str], BeforeValidator(model_names)] = Field(
        default=(),  # type: ignore[arg-type]  # as the environment writes it, which is validated
        alias="ALLOWED_MODELS",
    )

    @field_validator("allow_insecure_hosts")
    @classmethod
    def _vendors_are_reached_by_tls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(map(_row_by_host, value)):
            raise ValueError(
                "must not name the vendor's own host: the key would travel in the clear; leave it out and use https://"
            )
        return value

    @field_validator("openai_vendor")
    @classmethod
    def _vendor_by_host(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and value not in VENDORS:
            *names, last = map(repr, VENDORS)
            raise ValueError(f"must be {', '.join(names)} or {last}")
        url = info.data.get("openai_base_url")
        if url is None:
            return value
        if value is None:
            host = urlsplit(url).hostname or ""
            return next((name for name, row in VENDORS.items() if row.has_host(host)), _DEFAULT)
        if value != _DEFAULT and url == VENDORS[_DEFAULT].example:
            raise ValueError(f"needs OPENAI_BASE_URL, such as {VENDORS[value].example}")
        return value

    @field_validator("realtime_api")
    @classmethod
    def _dialect_is_spoken(cls, value: Any, info: ValidationInfo) -> Any:
        vendor: str | None = info.data.get("openai_vendor")
        if vendor and value == "beta" and VENDORS[vendor].beta is None:
            raise ValueError(f"OPENAI_VENDOR={vendor} has no beta; leave it out")
        return value

    @field_validator("deployments")
    @classmethod
    def _deployments_exist(cls, value: Mapping[str, str], info: ValidationInfo) -> Mapping[str, str]:
        renamed = {name: sent for name, sent in value.items() if name != sent}
        vendor: str | None = info.data.get("openai_vendor")
        if vendor and renamed and not VENDORS[vendor].deployments:
            raise ValueError(
                f"OPENAI_VENDOR={vendor} has no deployments; list the models' own names, without ="
            )
        return renamed

    @property
    def row(self) -> VendorRow:
        """The vendor's row of the table."""
        return VENDORS[self.openai_vendor or _DEFAULT]

    @property
    def vendor(self) -> Vendor:
        """The vendor that secrets are minted at."""
        beta = self.row.beta
        return beta if beta and self.realtime_api == "beta" else self.row.make(self.deployments)


def possible_vendors(environ: Mapping[str, str], wrong: Collection[str]) -> tuple[Vendor, ...]:
    """List the vendors that may be meant, the most likely one first.

    It is one, unless a variable that chooses it is ``wrong``, and so not in ``environ``.
    """
    if not _CHOOSING & set(wrong):
        with suppress(ConfigurationError):
            return (DialectSettings.from_environ(environ).vendor,)
    named = VENDORS.get(environ.get("OPENAI_VENDOR", ""))
    rows = (named,) if named else tuple(VENDORS.values())
    made = tuple(row.make({}) for row in rows)
    return made + tuple(row.beta for row in rows if row.beta)
