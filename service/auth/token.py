"""From the ``Authorization`` header to a token that is well formed, and nothing more.

What comes out of here is unverified: its header only helps to find the key that may verify it.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from service.auth.refusal import Refusal, shown
from service.core.errors import MissingTokenError
from service.core.json import parse_object

MAX_TOKEN_CHARACTERS = 8192
"""Above this nothing is decoded: what nobody has verified must not cause unbounded work. The largest tokens
seen, with many groups or permissions, take about half."""

MAX_KEY_ID_CHARACTERS = 256

_BEARER = re.compile(r"bearer(?: +(?P<token>.*))?", re.IGNORECASE | re.DOTALL)
# RFC 7515 §3.1: three base64url parts without padding; JWE (five parts) and detached payloads do not fit.
_COMPACT_JWS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A well-formed JWS in compact form, taken apart (RFC 7515 §7.1), with its header as the sender wrote it."""

    header: dict[str, Any]
    payload: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def identification(self) -> dict[str, Any]:
        """What the token says of itself, for the log alone: ``alg``, ``kid`` and ``issuer`` where given."""
        found = {"alg": self.header["alg"], "kid": self.header.get("kid"), "issuer": self._issuer()}
        return {name: value for name, value in found.items() if value is not None}

    def _issuer(self) -> str | None:
        try:
            issuer = parse_object(self.payload).get("iss")
        except ValueError:
            return None
        return issuer if isinstance(issuer, str) else None


def bearer_token(authorization: str | None) -> str:
    """Take the token out of an ``Authorization`` header (RFC 6750 §2.1; the scheme is case-insensitive).

    Raises:
        MissingTokenError: where there is none, or another scheme.
    """
    match = _BEARER.fullmatch((authorization or "").strip(" \t"))
    token = match["token"] if match else None
    if not token:
        raise MissingTokenError
    return token


def parse_token(text: str) -> UnverifiedToken:
    """Check a token's size and form, and read its header.

    Raises:
        Refusal: where it is no JWS that could be verified.
    """
    if len(text) > MAX_TOKEN_CHARACTERS:
        raise Refusal("too_large", f"the token has more than {MAX_TOKEN_CHARACTERS} characters")
    match = _COMPACT_JWS.fullmatch(text)
    if not match:
        raise Refusal("malformed", "the token is not a JWS in compact form (three base64url parts)")
    try:
        header = parse_object(_decoded(match[1]))
    except ValueError as error:
        raise Refusal("malformed", f"the token's header {error}") from None
    _check_header(header)
    try:
        payload, signature = _decoded(match[2]), _decoded(match[3])
    except ValueError as error:
        raise Refusal("malformed", f"the token's payload or signature {error}") from None
    return UnverifiedToken(header, payload, f"{match[1]}.{match[2]}".encode(), signature)


def _check_header(header: dict[str, Any]) -> None:
    if not isinstance(header.get("alg"), str):
        raise Refusal("malformed", "the token's header names no algorithm")
    key_id = header.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_CHARACTERS:
        raise Refusal("malformed", f"kid is not a string of at most {MAX_KEY_ID_CHARACTERS} characters")
    # RFC 7515 §4.1.11: an extension that must be understood, and we understand none; nor RFC 7797's b64.
    for extension in ("crit", "b64"):
        if extension in header:
            raise Refusal("critical_extension", f"the token's header has {extension}, which is not supported")
    if "typ" in header and not isinstance(header["typ"], str):
        raise Refusal("wrong_type", "typ is not a string", typ=shown(header["typ"]))


def _decoded(part: str) -> bytes:
    """Decode base64url; what is not the one canonical spelling of its bytes is refused (RFC 4648 §3.5)."""
    try:
        decoded = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise ValueError("is not base64url") from None
    if urlsafe_b64encode(decoded).rstrip(b"=") != part.encode():
        raise ValueError("is not base64url in its canonical form")
    return decoded
