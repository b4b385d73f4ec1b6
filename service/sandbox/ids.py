"""Identifiers in the vendor's style: a prefix, an underscore, random letters and digits.

A module of its own because every other one imports it.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable

NewId = Callable[[str], str]
"""Makes a fresh identifier from its prefix: ``item`` → ``item_9hK…``."""

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """Make an identifier that cannot be guessed (125 random bits)."""
    return f"{prefix}_{random_token(21)}"


def random_token(length: int) -> str:
    """Return that many random letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
