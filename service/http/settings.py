"""Which HTTP requests are accepted, and from which pages and proxies."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, Field

from service.core.environment import EnvironmentModel
from service.core.environment_types import CommaSeparated, each
from service.core.origins import Origins, parse_origin
from service.http.client_address import AddressSource

_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110 §5.6.2: a token."""


def header_name(text: str) -> str:
    """Check the name of a header field."""
    if text == "*":
        raise ValueError("holds *; list each header by name, such as X-Team")
    if not _FIELD_NAME.fullmatch(text):
        raise ValueError("must be the name of a header, without a value, such as CF-Connecting-IP")
    return text


def one_address_header(text: str) -> str:
    """Check the name of a header that holds one address, and nothing that clients add to."""
    if text.lower() in {"x-forwarded-for", "forwarded"}:
        raise ValueError(
            "must be a header that holds one address; for a list of proxies leave it unset and set "
            "TRUSTED_PROXY_HOPS to their number"
        )
    return header_name(text)


class HttpSettings(EnvironmentModel):
    """Origins, bodies and the proxies in front."""

    allowed_origins: Annotated[CommaSeparated, AfterValidator(each(parse_origin))] = ()
    cors_allowed_headers: Annotated[CommaSeparated, AfterValidator(each(header_name))] = ()
    max_body_bytes: Annotated[int, Field(ge=1, le=16_777_216)] = 262_144
    trusted_proxy_hops: Annotated[int, Field(ge=0, le=10)] = 0
    client_address_header: Annotated[str, AfterValidator(one_address_header)] | None = None

    @cached_property
    def origins(self) -> Origins:
        """The allowed origins, ready to be compared."""
        return Origins(self.allowed_origins)

    @cached_property
    def addresses(self) -> AddressSource:
        """Where a client's address is read from."""
        return AddressSource(self.trusted_proxy_hops, self.client_address_header)
