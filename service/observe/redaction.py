"""Redact secrets from every log line before it is written.

The first protection is not to log one: the service's own events hold none. This one is for what we do not write
ourselves, such as the text of a library's exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote, urlsplit

REDACTED = "[redacted]"

_SHORTEST = 6
"""Anything shorter would redact ordinary words."""

_SHAPES = re.compile(
    r"\b[es]k[-_][\w-]{6,}"  # the vendor's client secrets and API keys
    r"|\beyJ[\w-]+(?:\.[\w-]*){1,4}"  # a JWS or JWE (RFC 7515 §7.1), cut off or whole: eyJ is {"
    r"|(?<=[Bb]earer )[\w.~+/-]{12,}=*"  # RFC 6750 §2.1
    r"|(?<=://)[^\s/@\"'\\]+(?=@)"  # the user information of a URL (RFC 3986 §3.2.1)
)
_MARKS = ("ek_", "sk-", "eyJ", "earer ", "://")
"""One of these is in every match: looking for them first keeps the expression off the hot path."""


def redactor(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """Make a function that redacts ``secrets``, also when escaped or encoded, and anything shaped like one."""
    known = {part for secret in secrets for part in (secret, _password(secret)) if len(part) >= _SHORTEST}
    spellings = {spelling for secret in known for spelling in _spellings(secret)}
    longest_first = sorted(spellings, key=len, reverse=True)

    def redact(text: str) -> str:
        for spelling in longest_first:
            text = text.replace(spelling, REDACTED)
        for mark in _MARKS:
            if mark in text:
                return _SHAPES.sub(REDACTED, text)
        return text

    return redact


def _password(secret: str) -> str:
    """Return the password within a URL, such as a storage's; libraries show it alone, too."""
    try:
        return unquote(urlsplit(secret).password or "")
    except ValueError:  # no URL at all
        return ""


def _spellings(secret: str) -> tuple[str, ...]:
    return secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")
