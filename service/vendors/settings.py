"""The company's account with the vendor, and how to reach it."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, ClassVar, Final
from urllib.parse import urlsplit

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

_ROUTE: Final = re.compile(
    r"/(realtime|client_secrets|sessions|chat|completions|responses|models|calls)(/|\Z)"
)


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


def api_base(url: str) -> str:
    """Check what follows the host: paths are appended to it, so that a route in it, or a missing version, is a 404."""
    parts = urlsplit(url)
    if _ROUTE.search(parts.path):
        raise ValueError("names a route; it must be the API's base alone, such as https://api.openai.com/v1")
    if parts.hostname == "api.openai.com" and parts.path != "/v1":
        raise ValueError("must be https://api.openai.com/v1, with the version and nothing else")
    return url


def organization(text: str) -> str:
    """Check that it is no project's identifier."""
    if text.startswith("proj_"):
        raise ValueError(
            "is a project's identifier; put it into OPENAI_PROJECT_ID, and the organization's (org-…) here"
        )
    return text


def project(text: str) -> str:
    """Check that it is no organization's identifier."""
    if text.startswith("org-"):
        raise ValueError(
            "is an organization's identifier; put it into OPENAI_ORG_ID, and the project's (proj_…) here"
        )
    return text


def proxy_url(secret: SecretStr) -> SecretStr:
    """Check a proxy's URL, which may hold a password; a scheme may be left out, as other programs let it."""
    text = secret.get_secret_value().strip()
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() not in {"http", "https"}:
        raise ValueError("must begin with http:// or https://; other kinds of proxies are not supported")
    try:
        parts = urlsplit(text if separator else f"http://{text}")
        is_usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or any(character.isspace() for character in text):
        raise ValueError(
            "is not a URL; write for example http://proxy.internal:3128, special characters with %"
        )
    return SecretStr(text)


class VendorSettings(InsecureHosts, DialectSettings):
    """The vendor's side."""

    stripped: ClassVar = frozenset({"OPENAI_API_KEY"})

    openai_api_key: Annotated[SecretStr, AfterValidator(api_key)]
    openai_base_url: Annotated[str, AfterValidator(secure_base_url_setting), AfterValidator(api_base)] = (
        "https://api.openai.com/v1"
    )
    realtime_public_url: (
        Annotated[str, AfterValidator(secure_base_url_setting), AfterValidator(api_base)] | None
    ) = None
    openai_org_id: Annotated[str, AfterValidator(identifier), AfterValidator(organization)] | None = None
    openai_project_id: Annotated[str, AfterValidator(identifier), AfterValidator(project)] | None = None
    upstream_timeout: Annotated[float, Field(ge=1, le=20)] = 10
    requests_ca_bundle: Path | None = None
    https_proxy: Annotated[SecretStr, AfterValidator(proxy_url)] | None = None
    no_proxy: str | None = None
    safety_identifier_secret: SecretStr | None = None

    @field_validator("requests_ca_bundle")
    @classmethod
    def _bundle_holds_certificates(cls, value: Path | None) -> Path | None:
        if value is None or value.is_dir():
            return value
        try:
            ssl.create_default_context(cafile=value)
        except OSError as error:  # an SSLError is one
            seen = (
                "names no file or folder that exists"
                if not value.exists()
                else "names a file that cannot be used"
            )
            why = (
                "" if isinstance(error, FileNotFoundError) else f" ({error.strerror or type(error).__name__})"
            )
            raise ValueError(f"{seen}{why}; it must be the path of certificates in PEM form") from None
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
