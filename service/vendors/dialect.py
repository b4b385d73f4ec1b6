"""The table of vendors, and the variables that choose one: it decides what is minted and what a policy can refer to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from service.core.environment_types import InsecureHosts, model_names, secure_base_url_setting
from service.vendors import wire
from service.vendors.azure import Azure, AzureCalls
from service.vendors.base import Vendor
from service.vendors.openai import OpenAI
from service.vendors.openai_beta import OpenAIBeta
from service.vendors.openai_calls import OpenAICalls
from service.vendors.xai import XAI

VendorName = Literal["openai", "azure", "xai"]


@dataclass(frozen=True, slots=True)
class VendorRow:
    """One vendor: how to make its value, from public names and what they are called there, and how to recognise it.

    ``beta`` is its retired dialect. ``hosts`` are endings of its hosts' names, where its base path is ``base_path``.
    ``example`` is a base URL. ``key_header`` carries its key, where that is no bearer token. ``keyless`` tells whether
    Entra ID can stand for a key, ``deployments`` whether models have other names there, and ``organizations`` whether
    there are organizations and projects.
    """

    make: Callable[[Mapping[str, str]], Vendor]
    example: str
    beta: Vendor | None = None
    hosts: tuple[str, ...] = ()
    base_path: str | None = None
    key_header: str | None = None
    keyless: bool = False
    deployments: bool = False
    organizations: bool = False

    def has_host(self, url: str) -> bool:
        """Tell whether a URL is on one of this vendor's hosts."""
        host = f".{urlsplit(url).hostname or ''}".rstrip(".")
        return host.endswith(tuple(f".{name}" for name in self.hosts))


VENDORS: Final[Mapping[VendorName, VendorRow]] = {
    "openai": VendorRow(
        make=lambda _: OpenAI(calls=OpenAICalls()),
        beta=OpenAIBeta(),
        example="https://api.openai.com/v1",
        organizations=True,
    ),
    "azure": VendorRow(
        make=lambda deployments: Azure(deployments=deployments, calls=AzureCalls(deployments)),
        example="https://RESOURCE.openai.azure.com/openai/v1",
        hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
        base_path=wire.AZURE_BASE_PATH,
        key_header=wire.AZURE_KEY_HEADER,
        keyless=True,
        deployments=True,
    ),
    "xai": VendorRow(make=lambda _: XAI(), example="https://api.x.ai/v1", hosts=("api.x.ai",)),
}
"""By ``OPENAI_VENDOR``."""

_OPENAI = VENDORS["openai"].example


_ROUTE: Final = re.compile(
    r"/(realtime|client_secrets|sessions|chat|completions|responses|models|calls)(/|\Z)"
)


def api_base(url: str) -> str:
    """Check what follows the host: paths are appended to it, so that a route in it, or a missing version, is a 404."""
    parts = urlsplit(url)
    if _ROUTE.search(parts.path):
        raise ValueError("names a route; it must be the API's base alone, such as https://api.openai.com/v1")
    if parts.hostname == "api.openai.com" and parts.path != "/v1":
        raise ValueError("must be https://api.openai.com/v1, with the version and nothing else")
    return url


def _whole_base_url(text: str, info: ValidationInfo) -> str:
    """Check that a base URL on a known host has the vendor's base path."""
    url = api_base(secure_base_url_setting(text, info))
    for row in VENDORS.values():
        if row.base_path and row.has_host(url) and urlsplit(url).path != row.base_path:
            raise ValueError(f"must end in {row.base_path} on this host, such as {row.example}")
    return url


class DialectSettings(InsecureHosts):
    """The vendor, and its API of today or the retired beta."""

    openai_base_url: Annotated[str, AfterValidator(_whole_base_url)] = _OPENAI
    openai_vendor: VendorName | None = None
    realtime_api: Literal["ga", "beta"] = "ga"
    deployments: Annotated[Mapping[str, str], BeforeValidator(model_names)] = Field(
        default=(),  # type: ignore[arg-type]  # as the environment writes it, which is validated
        alias="ALLOWED_MODELS",
    )

    @field_validator("openai_vendor")
    @classmethod
    def _vendor_by_host(cls, value: VendorName | None, info: ValidationInfo) -> VendorName | None:
        url = info.data.get("openai_base_url")
        if url is None:
            return value
        if value is None:
            return next((name for name, row in VENDORS.items() if row.has_host(url)), "openai")
        if value != "openai" and url == _OPENAI:
            raise ValueError(f"needs OPENAI_BASE_URL, such as {VENDORS[value].example}")
        return value

    @field_validator("realtime_api")
    @classmethod
    def _dialect_is_spoken(cls, value: Any, info: ValidationInfo) -> Any:
        vendor: VendorName | None = info.data.get("openai_vendor")
        if vendor and value == "beta" and VENDORS[vendor].beta is None:
            raise ValueError(f"OPENAI_VENDOR={vendor} has no beta; leave it out")
        return value

    @field_validator("deployments")
    @classmethod
    def _deployments_exist(cls, value: Mapping[str, str], info: ValidationInfo) -> Mapping[str, str]:
        renamed = {name: sent for name, sent in value.items() if name != sent}
        vendor: VendorName | None = info.data.get("openai_vendor")
        if vendor and renamed and not VENDORS[vendor].deployments:
            raise ValueError(
                f"OPENAI_VENDOR={vendor} has no deployments; list the models' own names, without ="
            )
        return renamed

    @property
    def row(self) -> VendorRow:
        """The vendor's row of the table."""
        return VENDORS[self.openai_vendor or "openai"]

    @property
    def vendor(self) -> Vendor:
        """The vendor that secrets are minted at."""
        beta = self.row.beta
        return beta if beta and self.realtime_api == "beta" else self.row.make(self.deployments)
