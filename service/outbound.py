"""HTTP to the outside, as every part of the service does it: bounded, and led by nothing but its settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import gevent
import requests
from requests.utils import should_bypass_proxies

from service.adapter import OneHostAdapter


class DeadlineExceededError(Exception):
    """The total time allowed for an exchange is over."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Bound everything inside to ``seconds``, retries and dripping answers included.

    The timeout of ``requests`` is per read, so a server that sends a byte now and then never meets it.
    Rests on gevent, which the workers run on; without its patches only the timeout per read is left.

    Raises:
        DeadlineExceededError: when the time is over.
    """
    timeout = gevent.Timeout(seconds)
    timeout.start()
    try:
        yield
    except gevent.Timeout as passed:
        if passed is not timeout:
            raise
        raise DeadlineExceededError from None
    finally:
        timeout.close()


@dataclass(frozen=True, slots=True)
class Network:
    """How to get out: ``REQUESTS_CA_BUNDLE``, ``HTTPS_PROXY`` and ``NO_PROXY``; a proxy may hold a password."""

    ca_bundle: str | None = None
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: str | None = None

    def session(self, url: str, *, connections: int = 10) -> requests.Session:
        """Make a session for ``url`` with a pool of ``connections``. It opens no socket yet.

        ``trust_env`` is off, since ``~/.netrc`` would overwrite an explicit bearer header; so the proxy
        and the certificates are set here. A pool smaller than the requests in flight would throw warm
        connections away. Cookies are refused: a mint must not depend on the one before it.
        """
        session = requests.Session()
        session.trust_env = False
        session.verify = self.ca_bundle or True
        session.proxies = self._proxies(url)
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.mount(url, OneHostAdapter(connections=connections))
        return session

    def _proxies(self, url: str) -> dict[str, Any]:
        if not self.https_proxy or should_bypass_proxies(url, no_proxy=self.no_proxy):
            return {}
        return {"https": self.https_proxy}
