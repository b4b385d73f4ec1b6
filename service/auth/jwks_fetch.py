"""Fetch a key set over HTTP, from a known URL or from where its issuer's metadata says, bounded in time and size."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from service.auth.key_set import KeySetError
from service.auth.token import sanitize_for_log
from service.core.deadline import DeadlineExceededError, deadline
from service.core.environment_types import secure_url
from service.core.json import parse_object

if TYPE_CHECKING:
    import requests

MAX_BYTES = 256 * 1024
"""Key sets and metadata are a few kilobytes; some hundred keys fit."""

_HEADERS = {
    "Accept": "application/jwk-set+json, application/json",
    # Some CDNs refuse the default user agents of HTTP libraries with 403.
    "User-Agent": "realtime-token-service",
}
_CHUNK = 64 * 1024


class Network(Protocol):
    """How to reach the outside; ``service.vendors.network.Network`` is one."""

    def session(self, url: str) -> requests.Session:
        """Make a session for a URL: with its proxy and certificates, without cookies and ``~/.netrc``."""


@dataclass(frozen=True, slots=True)
class KeySetLocation:
    """Where a key set is: at ``url`` or, without one, at the ``jwks_uri`` in the metadata of ``issuer``.

    ``insecure_hosts`` are those that a ``jwks_uri`` may name with http.
    """

    url: str | None = None
    issuer: str | None = None
    insecure_hosts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Name it for the log, without its query, which may hold a key."""
        url, query, _ = (self.url or "").partition("?")
        return f"{url}{query and '?***'}" if url else f"of {self.issuer}"


class DocumentMissingError(KeySetError):
    """A URL that answers 404."""


def fetch_key_set(location: KeySetLocation, network: Network, *, seconds: float) -> bytes:
    """Fetch a key set's bytes within ``seconds`` altogether, whatever the servers do.

    Redirects are not followed: the admin, or the issuer, named who is trusted to publish the keys.

    Raises:
        KeySetError: saying what went wrong.
    """
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - see service.vendors.network

    ends = monotonic() + seconds
    try:
        with deadline(seconds):
            return _get(location.url or _discover(location, network, ends), network, ends)
    except DeadlineExceededError:
        raise KeySetError(f"no whole answer within {seconds:g} s") from None
    except (HTTPError, OSError) as error:  # OSError is what requests raises, too
        raise KeySetError(f"cannot be reached ({type(error).__name__})") from error


def metadata_urls(issuer: str) -> tuple[str, str]:
    """List where an issuer's metadata may be, in the order to try.

    OpenID Connect Discovery 1.0 §4.1 appends its well-known path; RFC 8414 §3.1 puts another before the path.
    """
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    base = f"{parts.scheme}://{parts.netloc}"
    return (
        f"{base}{path}/.well-known/openid-configuration",
        f"{base}/.well-known/oauth-authorization-server{path}",
    )


def read_jwks_uri(document: bytes, issuer: str, *, insecure_hosts: Collection[str] = ()) -> str:
    """Read ``jwks_uri`` from an issuer's metadata.

    The metadata must name the issuer exactly (RFC 8414 §3.3), or anybody's could be put in its place; and the keys
    must be published as safely as the issuer's name says.

    Raises:
        KeySetError: the document is not that.
    """
    try:
        metadata = parse_object(document)
    except ValueError as error:
        raise KeySetError(f"the issuer's metadata {error}") from None
    named, url = metadata.get("issuer"), metadata.get("jwks_uri")
    if named != issuer:
        shown = sanitize_for_log(named) if isinstance(named, str) else "none"
        raise KeySetError(f"the issuer's metadata is of another issuer: it names {shown}, not {issuer}")
    if not isinstance(url, str):
        raise KeySetError("the issuer's metadata has no jwks_uri")
    try:
        url = secure_url(url, insecure_hosts)
    except ValueError as error:
        raise KeySetError(f"the jwks_uri in the issuer's metadata {error}") from None
    if urlsplit(issuer).scheme == "https" != urlsplit(url).scheme:
        raise KeySetError(
            "the jwks_uri in the issuer's metadata must begin with https://, as the issuer does"
        )
    return url


def _discover(location: KeySetLocation, network: Network, ends: float) -> str:
    """Find the URL of an issuer's key set."""
    issuer = location.issuer or ""
    first, second = metadata_urls(issuer)
    try:
        document = _get(first, network, ends)
    except DocumentMissingError:
        document = _get(second, network, ends)
    return read_jwks_uri(document, issuer, insecure_hosts=location.insecure_hosts)


def _get(url: str, network: Network, ends: float) -> bytes:
    """Fetch one document, in what is left of the time."""
    timeout = max(0.05, ends - monotonic())
    with (
        network.session(url) as http,
        http.get(url, headers=_HEADERS, timeout=timeout, allow_redirects=False, stream=True) as response,
    ):
        if response.is_redirect:
            raise KeySetError(f"answered {response.status_code}, and redirects are not followed")
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise DocumentMissingError("answered 404")
        if response.status_code != HTTPStatus.OK:
            raise KeySetError(f"answered {response.status_code}")
        return _read_bounded(response, ends)


def _read_bounded(response: requests.Response, ends: float) -> bytes:
    """Read what has arrived, again and again, so that neither a flood nor a drip goes on for ever."""
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > MAX_BYTES:
            raise KeySetError(f"the answer is larger than {MAX_BYTES} bytes")
        if monotonic() > ends:
            raise DeadlineExceededError
    return bytes(body)
