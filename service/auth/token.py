"""Parse an ``Authorization`` header into a well-formed token. Nothing here is verified yet.

A parsed token's header and issuer only help to find the key that may verify it.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from service.core.errors import MissingTokenError, RequestHeaderFieldsTooLargeError
from service.core.json import parse_object

MAX_TOKEN_CHARACTERS = 16_384
"""Longer tokens are refused unread, since work for an unverified token must be bounded. Tokens with some hundred
groups or permissions take about half."""

MAX_KEY_ID_CHARACTERS = 256

MAX_LOGGED_CHARACTERS = 200
"""Maximum number of characters of one caller-written value in the log."""

_BEARER = re.compile(r"bearer(?: +(?P<token>.*))?", re.IGNORECASE | re.DOTALL)
# RFC 7515 §3.1: three base64url parts without padding; a detached payload does not fit.
_COMPACT_JWS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_UNSIGNED_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.", re.ASCII)
# RFC 7516 §3.1: header, encrypted key (may be empty), initialization vector, ciphertext, authentication tag.
_COMPACT_JWE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){3}", re.ASCII)
# RFC 6750 §2.1: what a bearer token may be made of.
_OPAQUE = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_JWS_DOTS = 2


class TokenRejectedError(Exception):
    """A token that is not accepted.

    ``cause`` is a word to search the log for, ``reason`` a sentence for the admin, ``seen`` what the token
    said and what was expected. Values that come from the token must go through ``sanitize_for_log``.
    """

    def __init__(self, cause: str, reason: str, **seen: Any) -> None:
        super().__init__(reason)
        self.cause = cause
        self.reason = reason
        self.seen = seen


def sanitize_for_log(value: Any) -> str:
    """Make a caller's value fit for a log line: printable, on one line and of bounded length.

    Line breaks and terminal escapes are escaped. For a value that is not a string, the name of its type is returned.
    """
    text = value if isinstance(value, str) else type(value).__name__
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return line if len(line) <= MAX_LOGGED_CHARACTERS else line[:MAX_LOGGED_CHARACTERS] + "…"


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """A well-formed JWS in compact form (RFC 7515 §7.1), its signature not yet verified.

    ``text`` is the token itself; ``header`` and ``claims`` are as the sender wrote them.
    """

    text: str = field(repr=False)
    header: dict[str, Any]
    claims: dict[str, Any] = field(repr=False)

    @property
    def issuer(self) -> str | None:
        """The ``iss`` that the token claims, where it is a string."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else None

    @property
    def identification(self) -> dict[str, str]:
        """What the token says of itself, fit for the log: ``alg``, ``kid`` and ``issuer`` where given."""
        found = {"alg": self.header["alg"], "kid": self.header.get("kid"), "issuer": self.issuer}
        return {name: sanitize_for_log(value) for name, value in found.items() if value is not None}


def bearer_token(authorization: str | None) -> str:
    """Take the token out of an ``Authorization`` header (RFC 6750 §2.1; the scheme is case-insensitive).

    Raises:
        MissingTokenError: there is none, or it has another scheme.
        RequestHeaderFieldsTooLargeError: it is longer than ``MAX_TOKEN_CHARACTERS``.
    """
    match = _BEARER.fullmatch((authorization or "").strip(" \t"))
    token = match["token"] if match else None
    if not token:
        raise MissingTokenError
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise RequestHeaderFieldsTooLargeError(
            f"The access token is too large: it has {len(token)} characters, and at most {MAX_TOKEN_CHARACTERS} "
            "are accepted. Signing in again will not help; the issuer must include fewer claims.",
            reason=f"the token has {len(token)} characters; issue it with fewer claims, such as groups",
        )
    return token


def parse_token(text: str) -> ParsedToken:
    """Check a token's form and read its header and claims.

    Raises:
        TokenRejectedError: it is not a JWS that could be verified.
    """
    match = _COMPACT_JWS.fullmatch(text)
    if not match:
        raise _wrong_form_error(text)
    header = _parse_part(match[1], "header")
    _check_header(header)
    claims = _parse_part(match[2], "payload")
    _decode(match[3], "signature")
    return ParsedToken(text, header, claims)


def _wrong_form_error(text: str) -> TokenRejectedError:
    """Make the error for what is no signed JWT; its reason says, for the log, what was sent."""
    if text.startswith(("sk-", "ek_")):
        return TokenRejectedError("opaque", "a key of the vendor was sent in place of the user's JWT")
    if _UNSIGNED_JWS.fullmatch(text):
        return TokenRejectedError("unsigned", "the token has no signature (alg: none)")
    if _COMPACT_JWE.fullmatch(text):
        return TokenRejectedError(
            "encrypted",
            "the token is encrypted (JWE, five parts) and only its recipient can read it; let the issuer sign it "
            "(JWS). Auth0 encrypts access tokens that were asked for without an 'audience'",
        )
    if _OPAQUE.fullmatch(text) and text.count(".") < _JWS_DOTS:
        return TokenRejectedError(
            "opaque",
            "the token is opaque, not a JWT, so only its issuer can tell what it means; send an ID token, or ask "
            "the issuer for an access token for this API ('audience' or 'scope')",
        )
    return TokenRejectedError("malformed", "the token is not a JWS in compact form (three base64url parts)")


def _check_header(header: dict[str, Any]) -> None:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise TokenRejectedError("malformed", "the token's header names no algorithm")
    if algorithm.strip().lower() == "none":
        raise TokenRejectedError("unsigned", "the token is not signed (alg: none)")
    key_id = header.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_CHARACTERS:
        raise TokenRejectedError(
            "malformed", f"kid is not a string of at most {MAX_KEY_ID_CHARACTERS} characters"
        )
    # RFC 7515 §4.1.11: an extension that must be understood, and we understand none; nor RFC 7797's b64.
    for extension in ("crit", "b64"):
        if extension in header:
            raise TokenRejectedError(
                "critical_extension", f"the token's header has {extension}, which is not supported"
            )
    if "typ" in header and not isinstance(header["typ"], str):
        raise TokenRejectedError("wrong_type", "typ is not a string", typ=sanitize_for_log(header["typ"]))


def _parse_part(part: str, name: str) -> dict[str, Any]:
    try:
        return parse_object(_decode(part, name))
    except ValueError as error:
        raise TokenRejectedError("malformed", f"the token's {name} {error}") from None


def _decode(part: str, name: str) -> bytes:
    """Decode base64url; any but the one canonical spelling of the bytes is refused (RFC 4648 §3.5)."""
    try:
        decoded = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise TokenRejectedError("malformed", f"the token's {name} is not base64url") from None
    if urlsafe_b64encode(decoded).rstrip(b"=") != part.encode():
        raise TokenRejectedError("malformed", f"the token's {name} is not base64url in its canonical form")
    return decoded
