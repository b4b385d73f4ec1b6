"""Make HTTP sessions to the outside, controlled by nothing but the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import should_bypass_proxies


@dataclass(frozen=True, slots=True)
class Network:
    """How to reach the outside: ``REQUESTS_CA_BUNDLE``, ``HTTPS_PROXY`` (may hold a password) and ``NO_PROXY``."""

    ca_bundle: str | None = None
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: str | None = None

    def session(self, url: str) -> requests.Session:
        """Make a session for ``url``. It opens no socket yet.

        ``trust_env`` is off, since ``~/.netrc`` would overwrite an explicit bearer header; so the proxy
        and the certificates are set here. Cookies are refused: a mint must not depend on the one before it.
        """
        session = requests.Session()
        session.trust_env = False
        session.verify = self.ca_bundle or True
        session.proxies = self._proxies(url)
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return session

    def pooled_session(self, url: str, *, connections: int) -> requests.Session:
        """Make a session that keeps up to ``connections`` to the host of ``url``; those beyond are not kept."""
        session = self.session(url)
        session.mount(url, HTTPAdapter(pool_connections=1, pool_maxsize=connections))
        return session

    def _proxies(self, url: str) -> dict[str, Any]:
        if not self.https_proxy or should_bypass_proxies(url, no_proxy=self.no_proxy):
            return {}
        return {"https": self.https_proxy}
