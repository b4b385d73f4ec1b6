"""How to reach the outside: which certificates are trusted, and by which proxy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from requests import Session

# ``requests`` is imported where it is used: it takes 6 MB and a twentieth of a start, and most services need it neither
# for their key set nor for a proxy.


@dataclass(frozen=True, slots=True)
class Network:
    """How to reach the outside: ``REQUESTS_CA_BUNDLE``, ``HTTPS_PROXY`` (may hold a password) and ``NO_PROXY``."""

    ca_bundle: str | None = None
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: str | None = None

    def proxy(self, url: str) -> str | None:
        """Return the URL of the proxy by which to reach ``url``; none where it is reached directly."""
        if not self.https_proxy or urlsplit(url).scheme != "https":
            return None
        from requests.utils import should_bypass_proxies  # noqa: PLC0415 - see above

        return None if should_bypass_proxies(url, no_proxy=self.no_proxy) else self.https_proxy

    def session(self, url: str, *, connections: int = 10) -> Session:
        """Make a session for ``url`` that keeps so many connections to its host. It opens no socket yet."""
        from service.vendors.outbound import make_session  # noqa: PLC0415 - see above

        return make_session(url, ca_bundle=self.ca_bundle, proxy=self.proxy(url), connections=connections)
