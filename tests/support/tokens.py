"""Real JWTs, signed here."""

from __future__ import annotations

import time
from typing import Any

import jwt

SECRET = "a-development-secret-of-at-least-32-bytes"
ISSUER = "https://issuer.test"
AUDIENCE = "token-service"


def claims(**changes: Any) -> dict[str, Any]:
    """Give the claims of a good token; ``None`` takes one out."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 3600}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def sign(
    key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **changes: Any
) -> str:
    """Sign a good token, or one that is wrong in just what ``changes`` says."""
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)
