"""The company's account with the vendor, and how to reach it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from service.core.environment_types import header_value, identifier, secure_base_url
from service.vendors import entra
from service.vendors.base import PublicEndpoint
from service.vendors.credentials import ApiKey, Credential
from service.vendors.dialect import VENDORS, DialectSettings
from service.vendors.outbound import Network

_SIGN_IN_SHARE = 0.8
"""How much of UPSTREAM_TIMEOUT a request may wait for a token, so that its failure is told before the time is up."""


class VendorSettings(DialectSettings):
    """The vendor's side."""

    openai_api_key: Annotated[SecretStr, AfterValidator(header_value)] | None = None
    realtime_public_url: Annotated[str, AfterValidator(secure_base_url)] | None = None
    openai_org_id: Annotated[str, AfterValidator(identifier)] | None = None
    openai_project_id: Annotated[str, AfterValidator(identifier)] | None = None
    upstream_timeout: Annotated[float, Field(ge=1, le=20)] = 10
    requests_ca_bundle: Path | None = None
    https_proxy: SecretStr | None = None
    no_proxy: str | None = None
    safety_identifier_secret: SecretStr | None = None
    azure_client_secret: SecretStr | None = None  # azure-identity reads it; here it is known as a secret

    @field_validator("openai_api_key")
    @classmethod
    def _key_or_entra(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        vendor = info.data.get("openai_vendor")
        if value is not None or vendor is None:
            return value
        if not VENDORS[vendor].keyless:
            raise ValueError("is required")
        if not entra.is_installed():
            install = f"pip install -r {entra.REQUIREMENTS}"
            raise ValueError(f"is required, or azure-identity, which signs in with Entra ID: {install}")
        return None

    @field_validator("openai_org_id", "openai_project_id")
    @classmethod
    def _organizations_exist(cls, value: str | None, info: ValidationInfo) -> str | None:
        vendor = info.data.get("openai_vendor")
        if value and vendor and not VENDORS[vendor].organizations:
            raise ValueError(f"OPENAI_VENDOR={vendor} has no organizations and projects; leave it out")
        return value

    @field_validator("safety_identifier_secret")
    @classmethod
    def _pseudonyms_have_a_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("openai_api_key", ...) is None and info.data.get("openai_vendor"):
            raise ValueError("is required without OPENAI_API_KEY, from which it would be derived")
        return value

    @field_validator("requests_ca_bundle")
    @classmethod
    def _bundle_exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.exists():
            raise ValueError("names no file or folder that exists")
        return value

    @cached_property
    def credential(self) -> Credential:
        """What the service signs in with at the vendor, one for all who ask: it may hold a token that ends."""
        if self.openai_api_key is None:
            fetch = entra.default_sign_in(self.network)
            return entra.EntraId(fetch, wait_seconds=_SIGN_IN_SHARE * self.upstream_timeout)
        key = self.openai_api_key.get_secret_value()
        return ApiKey(key, self.openai_org_id, self.openai_project_id, header=self.row.key_header)

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
