"""Identifiers in the vendor's style: a prefix, an underscore, random letters and digits."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable

NewId = Callable[[str], str]
"""Makes a fresh identifier from its prefix: ``item`` → ``item_9hK…``."""

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """Make an identifier nobody can guess."""
    return f"{prefix}_{random_token(21)}"


def random_token(length: int) -> str:
    """Draw letters and digits, fit for a credential."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
