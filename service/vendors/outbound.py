"""HTTP to the outside, as every part of the service does it: bounded, and led by nothing but its settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import should_bypass_proxies

from service.vendors.adapter import OneHostAdapter


@dataclass(frozen=True, slots=True)
class Network:
    """How to get out: ``REQUESTS_CA_BUNDLE``, ``HTTPS_PROXY`` and ``NO_PROXY``; a proxy may hold a password."""

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

    def busy_session(self, url: str, *, connections: int) -> requests.Session:
        """Make a session for many requests at once to the host of ``url``, over kept ``connections``.

        Let there be as many as requests in flight: those beyond wait for one. Through a proxy urllib3 keeps them,
        where those beyond open one each and throw it away.
        """
        session = self.session(url)
        if session.proxies:
            session.mount(url, HTTPAdapter(pool_connections=1, pool_maxsize=connections))
        else:
            session.mount(url, OneHostAdapter(url, connections=connections, ca_bundle=self.ca_bundle))
        return session

    def _proxies(self, url: str) -> dict[str, Any]:
        if not self.https_proxy or should_bypass_proxies(url, no_proxy=self.no_proxy):
            return {}
        return {"https": self.https_proxy}
