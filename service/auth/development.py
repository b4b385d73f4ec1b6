"""Development JWTs: what an identity provider would sign, signed with a shared secret."""

from __future__ import annotations

import secrets

import jwt


def sign(
    secret: str,
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
