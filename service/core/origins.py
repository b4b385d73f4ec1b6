"""Origins of pages and packaged apps: as the admin lists them, and as browsers send them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import idna

from service.core.environment_types import split_url

EXPOSED_HEADERS: Final = (
    "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id", "WWW-Authenticate", "Location", "x-should-retry",
)  # fmt: skip
"""The response headers that a page of an allowed origin may read."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_APP_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._-]*(:[0-9]+)?")
_NO_ORIGINS: Final = frozenset({"file", "data", "blob", "about", "javascript", "null"})
_WILDCARD: Final = "https://*."
_LABEL: Final = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
"""One part of a host name, as long as DNS allows (RFC 1035 §2.3.4)."""


def parse_origin(text: str) -> str:
    """Check one origin (scheme, host and port), and write it as browsers send it (RFC 6454 §6.2).

    A default port is left out, and a host in Unicode becomes its ``xn--`` form. Origins of packaged apps
    (``capacitor://localhost``) are taken as they are. ``https://*.preview.example.com`` stands for one label in the
    place of the asterisk.

    Raises:
        ValueError: it is none; the message says what would be one.
    """
    if text.lower() == "null" or text.partition(":")[0].lower() in _NO_ORIGINS:
        raise ValueError(
            "must not hold null or file://, which any sandboxed page or file sends; give the app an origin of its own"
        )
    if text.startswith(_WILDCARD):
        return _parse_wildcard(text)
    if "*" in text:
        raise ValueError(
            "holds a pattern; list every origin exactly, such as https://app.example.com "
            "(https://*.preview.example.com stands for one label)"
        )
    try:
        scheme = split_url(text).scheme
    except ValueError:
        raise ValueError(
            "is not an origin; write for example https://app.example.com, and separate several by commas"
        ) from None
    if scheme in {"ws", "wss"}:
        raise ValueError("must be origins of pages, which begin with https://, not with wss://")
    if scheme not in _DEFAULT_PORTS:
        return _parse_app_origin(text)
    return _parse_web_origin(text)


def _parse_web_origin(text: str) -> str:
    parts = split_url(text)
    if not parts.hostname or "@" in parts.netloc or text != f"{parts.scheme}://{parts.netloc}":
        raise ValueError(
            "must be origins without a path or a slash at the end, such as https://app.example.com, separated by "
            "commas"
        )
    if text.isascii() and text != text.lower():
        raise ValueError("must be in lower case, as browsers send origins")
    host = f"[{ipaddress.ip_address(parts.hostname)}]" if ":" in parts.hostname else _encode(parts.hostname)
    port = "" if parts.port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _encode(host: str) -> str:
    """Write a host as browsers do (https://www.unicode.org/reports/tr46/)."""
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise ValueError("names a host that cannot exist; write its xn-- form, as browsers send it") from None


def _parse_app_origin(text: str) -> str:
    if _APP_ORIGIN.fullmatch(text):
        return text
    raise ValueError(
        "must be origins such as https://app.example.com or capacitor://localhost: "
        "in lower case, with a scheme and without a path"
    )


def _parse_wildcard(text: str) -> str:
    """Check ``https://*.preview.example.com``: below a domain of one's own, or others could have such a name."""
    rest = _parse_web_origin("https://" + text.removeprefix(_WILDCARD)).removeprefix("https://")
    host = rest.partition(":")[0]
    if "*" in rest or host.count(".") < 1 or re.fullmatch(r"[0-9.]+", host):
        raise ValueError(
            "holds a pattern with fewer than two fixed labels after its one *; "
            "write for example https://*.preview.example.com"
        )
    if _is_shared(host):
        raise ValueError(
            f"holds a pattern below {host}, where anybody can have a name; list every origin exactly, "
            "or use a domain of your own"
        )
    return _WILDCARD + rest


def _is_shared(domain: str) -> bool:
    """Return whether names below a domain belong to different people: ``co.uk``, ``vercel.app``.

    By the Public Suffix List (https://publicsuffix.org), with the copy that the library brings.
    """
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - 4 MB, for those alone who have a pattern

    return PublicSuffixList().privatesuffix(domain) is None


@dataclass(frozen=True)
class Origins:
    """The allowed origins, as ``parse_origin`` returns them: the one place that compares a request's with them."""

    listed: Sequence[str] = ()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """An expression that matches from the beginning to the end of an allowed origin, for Flask-CORS."""
        alternatives = [
            rf"https://{_LABEL}\.{re.escape(origin.removeprefix(_WILDCARD))}"
            if origin.startswith(_WILDCARD)
            else re.escape(origin)
            for origin in self.listed
        ]
        return re.compile(rf"(?:{'|'.join(alternatives)})\Z" if alternatives else r"(?!)")

    def allows(self, origin: str) -> bool:
        """Return whether a request's ``Origin`` is allowed; upper and lower case differ, as browsers send one only."""
        return self.pattern.match(origin) is not None

    def __bool__(self) -> bool:
        """Whether there are any: without, there is no CORS."""
        return bool(self.listed)
