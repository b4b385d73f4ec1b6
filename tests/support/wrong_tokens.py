"""What people send in place of a signed JWT."""

from __future__ import annotations

import json

from tests.support.identity_provider import base64url
from tests.support.tokens import claims


def _jwe(encrypted_key: str = "") -> str:
    """Make the shape of an encrypted token (RFC 7516 §3.1), as Auth0 issues without an audience."""
    header = base64url(json.dumps({"alg": "dir", "enc": "A256GCM"}).encode())
    return f"{header}.{encrypted_key}.{base64url(b'i' * 12)}.{base64url(b'c' * 90)}.{base64url(b't' * 16)}"


def _unsigned(algorithm: str, signature: str) -> str:
    """Make an unsecured JWS (RFC 7515 appendix A.5)."""
    header = base64url(json.dumps({"alg": algorithm}).encode())
    return f"{header}.{base64url(json.dumps(claims()).encode())}.{signature}"


NOT_SIGNED = {
    "a JWE": (_jwe(), "encrypted", "JWE"),
    "a JWE with an encrypted key": (_jwe("AAAA"), "encrypted", "JWE"),
    "Google's opaque token": ("ya29.a0AfH6SMBx", "opaque", "ID token"),
    "GitHub's opaque token": ("gho_16C7e42F292c6912E7710c838347Ae178B4a", "opaque", "not a JWT"),
    "an opaque token": ("2YotnFZFEjr1zCsicMWpAA", "opaque", "not a JWT"),
    "the vendor's key": ("sk-proj-0123456789", "opaque", "a key of the vendor"),
    "a client secret": ("ek_0123456789", "opaque", "a key of the vendor"),
    "no signature": (_unsigned("none", ""), "unsigned", "alg: none"),
    "alg none with a signature": (_unsigned("None", "AA"), "unsigned", "alg: none"),
}
"""Each with the word that the log has for its cause, and one of its remedy."""
