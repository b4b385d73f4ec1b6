"""Parse one variable's text into a typed value, or raise a ``ValueError`` that says what is right.

No message here repeats its input: the input may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo

from service.core.environment import EnvironmentModel

_LONGEST_LABEL = 63
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_PRIVATE_DOMAINS = (".local", ".internal", ".localhost", ".lan", ".home.arpa", ".test", ".svc")
_FLAGS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


def comma_separated(value: Any) -> Any:
    """Split ``a, b`` into its non-empty parts; anything but text is left as it is.

    Raises:
        ValueError: there is none, as in ``,``: it would count as not set, which switches some checks off.
    """
    if not isinstance(value, str):
        return value
    parts = tuple(part.strip() for part in value.split(",") if part.strip())
    if not parts:
        raise ValueError("holds nothing between its commas; name at least one, or leave the variable out")
    return parts


def model_names(value: Any) -> Any:
    """Read ``name, public=sent``: each public name of a model, and what it is called at the vendor."""
    if not isinstance(value, str):
        return dict(value)
    names: dict[str, str] = {}
    for part in plain_list(value):
        public, _, sent = (side.strip() for side in part.partition("="))
        if not public or ("=" in part and not sent) or "=" in sent:
            raise ValueError("must be names of models, or public=deployment")
        if names.get(public, sent or public) != (sent or public):
            raise ValueError("gives one model two deployments")
        names[public] = sent or public
    return names


def plain_list(value: Any) -> Any:
    """Split ``a, b``, and refuse a list that is written as JSON, which other programs take."""
    if isinstance(value, str) and re.fullmatch(r"\s*\[.*\]\s*", value, re.DOTALL):
        raise ValueError(
            "is written as JSON; separate its parts by commas, without brackets and quotation marks"
        )
    return comma_separated(value)


def flag(value: Any) -> bool:
    """Read ``1`` or ``0``, in the spellings people use."""
    word = str(value).strip().lower()
    if word not in _FLAGS:
        raise ValueError("is neither 1 nor 0; it must be one of them")
    return _FLAGS[word]


def is_loopback(host: str | None) -> bool:
    """Return whether a host name or address is this machine itself."""
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
        raise ValueError("holds white space or control characters; a URL has none")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL; write for example https://api.openai.com/v1") from None
    return parts


def secure_base_url(text: str, insecure_hosts: Collection[str] | None = ()) -> str:
    """Accept a base that paths are appended to: a ``secure_url`` with neither query nor fragment."""
    text = secure_url(text, insecure_hosts)
    if "?" in text or "#" in text:
        raise ValueError("must hold no query and no fragment")
    return text.rstrip("/")


def secure_url(text: str, insecure_hosts: Collection[str] | None = ()) -> str:
    """Accept https anywhere, and http only to this machine and ``insecure_hosts``, since keys and tokens travel there.

    With None as ``insecure_hosts`` http is accepted anywhere, for who checks that by itself.
    """
    text = text.strip()
    parts = split_url(text)
    if not parts.hostname:
        raise ValueError("must be a whole URL, which begins with https://")
    if not text.isascii():
        raise ValueError("holds non-ASCII characters; write the host as xn--… and the path with %")
    if not all(0 < len(label) <= _LONGEST_LABEL for label in parts.hostname.rstrip(".").split(".")):
        raise ValueError("names a host of which a part is empty or longer than 63 characters")
    may_be_http = insecure_hosts is None or is_loopback(parts.hostname) or parts.hostname in insecure_hosts
    if parts.scheme != "https" and not (parts.scheme == "http" and may_be_http):
        raise ValueError(
            "must begin with https:// (http:// is for loopback addresses only, and for hosts that "
            "ALLOW_INSECURE_HOSTS names)"
        )
    if "@" in parts.netloc:
        raise ValueError("must hold no user name or password")
    return text


def header_value(secret: SecretStr) -> SecretStr:
    """Strip a value that travels in a header; refuse what a header cannot carry.

    A key with a newline makes ``requests`` raise an error that contains the key.
    """
    stripped = secret.get_secret_value().strip()
    if not stripped:
        raise ValueError("is empty; set it")
    if _CONTROL.search(stripped) or not stripped.isascii():
        raise ValueError("holds white space, control or non-ASCII characters; copy it again")
    return SecretStr(stripped)


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
    if text.strip() == "*":
        raise ValueError("must be one scope by its name; leave it out if none is required")
    return text.strip()


def no_pattern(text: str) -> str:
    """Check that it is one exact value: a pattern is compared as it stands, and so fits nothing."""
    if "*" in text:
        raise ValueError("holds a pattern; list each value exactly, separated by commas")
    return text


def parsed_by(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Let a part's own parser read a variable, once: what is parsed already passes as it is."""
    return lambda value: parse(value) if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(plain_list)]
Flag = Annotated[bool, BeforeValidator(flag)]


def insecure_host(text: str) -> str:
    """Check the name of one host that may be reached by plain http."""
    host = text.lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[?[0-9a-f:]*:[0-9a-f:.]*\]?", host):
        raise ValueError(
            "must be names of hosts, without http://, port, path and *, such as sandbox,keycloak"
        )
    return host.strip("[]")


def is_private_host(host: str) -> bool:
    """Return whether a host is known to a private network only, as far as its name or address says that."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_DOMAINS)


class InsecureHosts(EnvironmentModel):
    """The hosts that may be reached by plain http, for groups that hold URLs."""

    allow_insecure_hosts: Annotated[CommaSeparated, AfterValidator(each(insecure_host))] = ()


def secure_url_setting(value: str, info: ValidationInfo) -> str:
    """Check a ``secure_url`` in a group of ``InsecureHosts``."""
    return secure_url(value, info.data.get("allow_insecure_hosts"))


def secure_base_url_setting(value: str, info: ValidationInfo) -> str:
    """Check a ``secure_base_url`` in a group of ``InsecureHosts``."""
    return secure_base_url(value, info.data.get("allow_insecure_hosts"))
