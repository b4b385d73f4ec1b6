"""The company's account with the vendor, and how to reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr, field_validator

from service.core.environment_types import (
    InsecureHosts,
    header_value,
    identifier,
    secure_base_url_setting,
)
from service.vendors.base import PublicEndpoint
from service.vendors.credentials import ApiKey, Credential
from service.vendors.dialect import DialectSettings
from service.vendors.outbound import Network


def api_key(secret: SecretStr) -> SecretStr:
    """Check a standard key, and name what is often put in its place."""
    text = secret.get_secret_value().strip()
    if text.lower().startswith("bearer "):
        raise ValueError("begins with Bearer; write the key alone")
    if text.startswith("ek_"):
        raise ValueError("is a client secret, which opens one session; put a standard key (sk-…) there")
    if text.startswith("sk-admin-"):
        raise ValueError("is an admin key, which cannot mint; put a project's key (sk-proj-…) there")
    if "..." in text or "\N{HORIZONTAL ELLIPSIS}" in text or "***" in text:
        raise ValueError("is an example or is cut off; copy the whole key")
    return header_value(secret)


class VendorSettings(InsecureHosts, DialectSettings):
    """The vendor's side."""

    stripped: ClassVar = frozenset({"OPENAI_API_KEY"})

    openai_api_key: Annotated[SecretStr, AfterValidator(api_key)]
    openai_base_url: Annotated[str, AfterValidator(secure_base_url_setting)] = "https://api.openai.com/v1"
    realtime_public_url: Annotated[str, AfterValidator(secure_base_url_setting)] | None = None
    openai_org_id: Annotated[str, AfterValidator(identifier)] | None = None
    openai_project_id: Annotated[str, AfterValidator(identifier)] | None = None
    upstream_timeout: Annotated[float, Field(ge=1, le=20)] = 10
    requests_ca_bundle: Path | None = None
    https_proxy: SecretStr | None = None
    no_proxy: str | None = None
    safety_identifier_secret: SecretStr | None = None

    @field_validator("requests_ca_bundle")
    @classmethod
    def _bundle_exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.exists():
            raise ValueError("names no file or folder that exists; it must be the path of a file in PEM form")
        return value

    @property
    def credential(self) -> Credential:
        """What the service signs in with at the vendor."""
        return ApiKey(self.openai_api_key.get_secret_value(), self.openai_org_id, self.openai_project_id)

    @property
    def endpoint(self) -> PublicEndpoint:
        """Where clients are told to connect."""
        base_url = self.realtime_public_url or self.openai_base_url
        return PublicEndpoint(base_url, self.openai_org_id, self.openai_project_id)

    @property
    def network(self) -> Network:
        """How the service reaches the outside."""
        return Network(
            ca_bundle=str(self.requests_ca_bundle) if self.requests_ca_bundle else None,
            https_proxy=self.https_proxy.get_secret_value() if self.https_proxy else None,
            no_proxy=self.no_proxy,
        )
