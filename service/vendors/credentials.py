"""Authenticate the service to the vendor. Nothing else in the tree holds the key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from service.vendors import wire

_REDACTED = "***"


class Credential(Protocol):
    """What identifies the company's account."""

    def headers(self) -> Mapping[str, str]:
        """Return the account's headers. Asked for each request, since some credentials expire."""

    def redact_key(self, text: bytes) -> bytes:
        """Replace the secret in the vendor's words, which a caller may read."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A standard API key, sent as a bearer token, with the organization and project it acts for."""

    key: str = field(repr=False)
    organization: str | None = None
    project: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that authenticate as the company itself."""
        headers = {wire.AUTHORIZATION_HEADER: f"Bearer {self.key}"}
        if self.organization:
            headers[wire.ORGANIZATION_HEADER] = self.organization
        if self.project:
            headers[wire.PROJECT_HEADER] = self.project
        return headers

    def redact_key(self, text: bytes) -> bytes:
        """Replace the key, in plain text and as JSON escapes it."""
        for spelling in {self.key, json.dumps(self.key)[1:-1]}:
            text = text.replace(spelling.encode(), _REDACTED.encode())
        return text
