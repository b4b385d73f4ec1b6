"""The company's account with the vendor, and how to reach it."""

from __future__ import annotations

import re
import ssl
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from service.core.environment_types import header_value, identifier
from service.vendors import entra
from service.vendors.base import PublicEndpoint
from service.vendors.credentials import ApiKey, Credential
from service.vendors.dialect import VENDORS, DialectSettings, api_base
from service.vendors.network import Network

_SIGN_IN_SHARE = 0.8
"""How much of UPSTREAM_TIMEOUT a request may wait for a token, so that its failure is told before the time is up."""

_EXAMPLE_KEY = re.compile(
    r"(?i)(sk-)?(your|insert)[-_ ](openai[-_ ])?(api[-_ ]?)?key([-_ ]here)?|change[-_ ]?me"
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
    if text.startswith(("org-", "proj_")):
        raise ValueError("is the identifier of an organization or a project; put a key (sk-…) there")
    if "," in text:
        raise ValueError("holds a comma, as several keys do; put one key (sk-…) there")
    if _EXAMPLE_KEY.fullmatch(text):
        raise ValueError("is an example; copy a whole key (sk-…)")
    if "..." in text or "\N{HORIZONTAL ELLIPSIS}" in text or "***" in text:
        raise ValueError("is an example or is cut off; copy the whole key")
    return header_value(secret)


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
    """Check a proxy's URL, which may hold a password, and add a scheme where there is none, as other programs do."""
    text = secret.get_secret_value().strip()
    scheme, separator, _ = text.partition("://")
    if not separator:
        text = f"http://{text}"
    elif scheme.lower() not in {"http", "https"}:
        raise ValueError(
            "names a kind of proxy that is not supported; it must begin with http:// or https://"
        )
    try:
        parts = urlsplit(text)
        is_usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or any(character.isspace() for character in text):
        raise ValueError(
            "is not a URL; write for example http://proxy.internal:3128, special characters with %"
        )
    return SecretStr(text)


class VendorSettings(DialectSettings):
    """The vendor's side."""

    stripped: ClassVar = frozenset({"OPENAI_API_KEY"})
    read_elsewhere: ClassVar = frozenset({"AZURE_CLIENT_SECRET"})

    openai_api_key: Annotated[SecretStr, AfterValidator(api_key)] | None = None
    realtime_public_url: Annotated[str, AfterValidator(api_base)] | None = None
    openai_org_id: Annotated[str, AfterValidator(identifier), AfterValidator(organization)] | None = None
    openai_project_id: Annotated[str, AfterValidator(identifier), AfterValidator(project)] | None = None
    upstream_timeout: Annotated[float, Field(ge=1, le=20)] = 10
    requests_ca_bundle: Path | None = None
    https_proxy: Annotated[SecretStr, AfterValidator(proxy_url)] | None = None
    no_proxy: str | None = None
    safety_identifier_secret: SecretStr | None = None
    azure_client_secret: SecretStr | None = None  # azure-identity reads it; here it is known as a secret

    @field_validator("openai_api_key")
    @classmethod
    def _key_or_entra(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            return value
        vendor = info.data.get("openai_vendor")
        if vendor is None:
            keyless = " or ".join(name for name, row in VENDORS.items() if row.keyless)
            raise ValueError(
                f"is required, unless OPENAI_VENDOR={keyless}, where Entra ID can stand for it; set it"
            )
        if not VENDORS[vendor].keyless:
            raise ValueError("is required; set it, or OPENAI_API_KEY_FILE to a file that holds it")
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
    def _bundle_holds_certificates(cls, value: Path | None) -> Path | None:
        wanted = "it must be the path of certificates in PEM form"
        try:
            if value is not None and not value.is_dir():
                ssl.create_default_context(cafile=value)
        except FileNotFoundError:
            raise ValueError(f"names no file or folder that exists; {wanted}") from None
        except OSError as error:  # an SSLError is one, and what a whole certificate in its place causes
            why = error.strerror or type(error).__name__
            raise ValueError(f"names a file that cannot be used ({why}); {wanted}") from None
        except ValueError:
            raise ValueError(f"is no path; {wanted}") from None
        return value

    @cached_property
    def credential(self) -> Credential:
        """What the service signs in with at the vendor, one for all who ask: it may hold a token that ends."""
        if self.openai_api_key is None:
            fetch = entra.default_sign_in(self.network)
            return entra.EntraId(fetch, wait_seconds=_SIGN_IN_SHARE * self.upstream_timeout)
        key = self.openai_api_key.get_secret_value()
        row, account = self.row, (self.openai_org_id, self.openai_project_id)
        return ApiKey(key, *account, header=row.key_header, advice=row.key_advice)

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
