"""Parse one variable's text into a typed value, or raise a ``ValueError`` that says what is right.

No message here repeats its input: the input may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, SecretStr

_LONGEST_LABEL = 63
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_FLAGS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


def comma_separated(value: Any) -> Any:
    """Split ``a, b`` into its non-empty parts; anything but text is left as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def flag(value: Any) -> bool:
    """Read ``1`` or ``0``, in the spellings people use."""
    word = str(value).strip().lower()
    if word not in _FLAGS:
        raise ValueError("is neither 1 nor 0")
    return _FLAGS[word]


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name or address is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def authority(host: str, port: int) -> str:
    """Write host and port as a URL does, an IPv6 address in brackets (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_url(text: str) -> SplitResult:
    """Split a URL, its port checked too (``urlsplit`` puts that off)."""
    if _CONTROL.search(text):
        raise ValueError("holds white space or control characters")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    return parts


def secure_base_url(text: str) -> str:
    """Accept a base that paths are appended to: a ``secure_url`` with neither query nor fragment."""
    text = secure_url(text)
    if "?" in text or "#" in text:
        raise ValueError("must hold no query and no fragment")
    return text.rstrip("/")


def secure_url(text: str) -> str:
    """Accept https anywhere and http to this machine only, so that no key or token travels in the clear."""
    text = text.strip()
    parts = split_url(text)
    if not parts.hostname:
        raise ValueError("must be a whole URL, such as https://api.openai.com/v1")
    if not text.isascii():
        raise ValueError("holds non-ASCII characters; write the host as xn--… and the path with %")
    if not all(0 < len(label) <= _LONGEST_LABEL for label in parts.hostname.rstrip(".").split(".")):
        raise ValueError("names a host of which a part is empty or longer than 63 characters")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("must begin with https:// (http:// is for loopback addresses only)")
    if parts.username or parts.password:
        raise ValueError("must hold no user name or password")
    return text


def header_value(secret: SecretStr) -> SecretStr:
    """Strip a value that travels in a header; refuse what a header cannot carry.

    A key with a newline makes ``requests`` raise an error that contains the key.
    """
    stripped = secret.get_secret_value().strip()
    if not stripped:
        raise ValueError("is empty")
    if _CONTROL.search(stripped) or not stripped.isascii():
        raise ValueError("holds white space, control or non-ASCII characters; copy it again")
    return SecretStr(stripped)


def origin(text: str) -> str:
    """Check one CORS origin: scheme, host and port, exactly as a browser sends it (RFC 6454 §6.1)."""
    if "*" in text:
        raise ValueError("holds a pattern; list every origin exactly, such as https://app.example.com")
    parts = split_url(text)
    bare = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or text != bare:
        raise ValueError("must be origins without a path, such as https://app.example.com")
    if text != text.lower():
        raise ValueError("must be in lower case, as browsers send origins")
    return text


def each(check: Callable[[str], str]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Apply a check to each part of a list."""
    return lambda parts: tuple(check(part) for part in parts)


def identifier(text: str) -> str:
    """Check an organisation's or project's identifier: it travels in headers and subprotocols (RFC 9110 token)."""
    if not re.fullmatch(r"[A-Za-z0-9._~-]+", text.strip()):
        raise ValueError("may hold letters, digits and -._~ only")
    return text.strip()


def scope(text: str) -> str:
    """Check one scope (RFC 6749 §3.3): it is looked for as it stands, and repeated in a challenge."""
    if not re.fullmatch(r"[\x21\x23-\x5B\x5D-\x7E]+", text.strip()):
        raise ValueError("must be one scope, without spaces, quotes or backslashes")
    return text.strip()


def parsed_by(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Let a part's own parser read a variable, once: what is parsed already passes as it is."""
    return lambda value: parse(value) if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(comma_separated)]
Flag = Annotated[bool, BeforeValidator(flag)]
