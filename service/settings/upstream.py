"""The company's account with the vendor, and how to reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from service.settings.base import EnvironmentModel
from service.settings.envtypes import header_value, identifier, secure_url
from service.wire import Account


class UpstreamSettings(EnvironmentModel):
    """The vendor's side."""

    openai_api_key: Annotated[SecretStr, AfterValidator(header_value)]
    openai_base_url: Annotated[str, AfterValidator(secure_url)] = "https://api.openai.com/v1"
    realtime_public_url: Annotated[str, AfterValidator(secure_url)] | None = None
    openai_org_id: Annotated[str, AfterValidator(identifier)] | None = None
    openai_project_id: Annotated[str, AfterValidator(identifier)] | None = None
    realtime_api: Literal["ga", "beta"] = "ga"
    upstream_timeout: Annotated[float, Field(ge=1, le=20)] = 10
    requests_ca_bundle: Path | None = None
    https_proxy: SecretStr | None = None
    no_proxy: str | None = None
    safety_identifier_secret: SecretStr | None = None

    @field_validator("realtime_public_url")
    @classmethod
    def _public_url_is_the_base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value or info.data.get("openai_base_url")

    @field_validator("requests_ca_bundle")
    @classmethod
    def _bundle_exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.exists():
            raise ValueError("names no file or folder that exists")
        return value

    @property
    def beta(self) -> bool:
        """Whether upstream speaks the retired beta dialect."""
        return self.realtime_api == "beta"

    @property
    def account(self) -> Account:
        """The account that mints."""
        return Account(self.openai_api_key.get_secret_value(), self.openai_org_id, self.openai_project_id)

    @property
    def public_url(self) -> str:
        """The base URL that clients are told to connect to."""
        return self.realtime_public_url or self.openai_base_url
