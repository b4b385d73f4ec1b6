"""Sign development JWTs as an identity provider would, with a shared secret.

Apart from the command that prints them, since the demo signs some too.
"""

from __future__ import annotations

import secrets

import jwt


def sign(
    secret: str | bytes,
    *,
    issuer: str,
    audience: str,
    subject: str,
    now: float,
    lifetime: int,
    **claims: str,
) -> str:
    """Sign an HS256 token for ``subject``, valid for ``lifetime`` seconds from ``now`` (epoch seconds)."""
    registered = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "iat": int(now),
        "exp": int(now) + lifetime,
        "jti": secrets.token_hex(8),
    }
    return jwt.encode({**claims, **registered}, secret, algorithm="HS256")
