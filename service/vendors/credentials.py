"""Authenticate the service to the vendor. Nothing but this and ``entra`` holds the secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from service.vendors import wire

KEY_ADVICE = "put a valid key into OPENAI_API_KEY (of the organisation and project, if set)"
_REDACTED = "***"


class Credential(Protocol):
    """What identifies the company's account."""

    @property
    def name(self) -> str:
        """What the admin calls it."""

    @property
    def advice(self) -> str:
        """What to do where the vendor refuses it."""

    def headers(self) -> Mapping[str, str]:
        """Return the account's headers. Asked for each request, since some credentials expire."""

    def redact_key(self, text: bytes) -> bytes:
        """Replace the secret in the vendor's words, which a caller may read."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A standard API key, with the organization and project it acts for.

    It is sent as a bearer token, or alone in the ``header`` that the vendor has for it.
    """

    key: str = field(repr=False)
    organization: str | None = None
    project: str | None = None
    header: str | None = None
    name: str = "key"
    advice: str = KEY_ADVICE

    def headers(self) -> dict[str, str]:
        """Return the headers that authenticate as the company itself."""
        headers = {self.header: self.key} if self.header else bearer(self.key)
        if self.organization:
            headers[wire.ORGANIZATION_HEADER] = self.organization
        if self.project:
            headers[wire.PROJECT_HEADER] = self.project
        return headers

    def redact_key(self, text: bytes) -> bytes:
        """Replace the key, in plain text and as JSON escapes it."""
        return redact(self.key, text)


def bearer(token: str) -> dict[str, str]:
    """Return the header that authenticates by a bearer token (RFC 6750 §2.1)."""
    return {wire.AUTHORIZATION_HEADER: f"Bearer {token}"}


def redact(secret: str, text: bytes) -> bytes:
    """Replace a secret in a text, as it stands and as JSON escapes it."""
    for spelling in {secret, json.dumps(secret)[1:-1]}:
        text = text.replace(spelling.encode(), _REDACTED.encode())
    return text
