"""Where limits are counted."""

from __future__ import annotations

from urllib.parse import urlsplit

from limits.storage import SCHEMES
from pydantic import SecretStr


def check_storage_url(url: SecretStr) -> SecretStr:
    """Accept a URL that the ``limits`` library knows a storage for.

    Raises:
        ValueError: naming the schemes it knows; the URL itself, which may hold a password, is not repeated.
    """
    scheme = urlsplit(url.get_secret_value()).scheme
    if scheme not in SCHEMES or scheme.startswith("async+"):
        raise ValueError("is not a storage URL; write for example redis://HOST:6379 or memory://")
    return url
