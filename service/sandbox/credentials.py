"""Which credentials the sandbox takes: any ``sk-…`` but ``sk-invalid…``; secrets are the vault's."""

from __future__ import annotations

from service.sandbox.refusal import Refusal, invalid_api_key

_SHOWN = 6


def bearer(authorization: str | None) -> str:
    """Read the credential of an Authorization header; empty where it holds none."""
    scheme, _, credential = (authorization or "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


def check_key(key: str) -> None:
    """Hold a credential to being a standard key.

    Raises:
        Refusal: 401, where it is none, or one that the sandbox takes for invalid.
    """
    if not key:
        message = (
            "You didn't provide an API key. You need to provide your API key in an Authorization header "
            "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        )
        raise Refusal(message, status=401)
    if not key.startswith("sk-") or key.startswith("sk-invalid"):
        raise invalid_api_key(f"{key[:_SHOWN]}***")
