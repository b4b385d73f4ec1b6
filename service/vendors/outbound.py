"""Make HTTP sessions to the outside, controlled by nothing but the settings."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from socket import socket
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests.utils import should_bypass_proxies
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from service.vendors.answers import MAX_HEAD_BYTES
from service.vendors.connections import KEEPALIVE


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
        for scheme in ("https://", "http://"):
            session.mount(scheme, BoundedAdapter())
        session.verify = self.ca_bundle or True
        session.proxies = self.proxies(url)
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return session

    def pooled_session(self, url: str, *, connections: int) -> requests.Session:
        """Make a session that keeps up to ``connections`` to the host of ``url``; those beyond are not kept."""
        session = self.session(url)
        session.mount(url, BoundedAdapter(pool_connections=1, pool_maxsize=connections))
        return session

    def proxies(self, url: str) -> dict[str, Any]:
        """Say by which proxy to reach ``url``, as ``requests`` takes it."""
        if not self.https_proxy or should_bypass_proxies(url, no_proxy=self.no_proxy):
            return {}
        return {"https": self.https_proxy}


class _Head(io.BufferedReader):
    """Reads an answer line by line, as http.client does, and fails where its head is too long."""

    left: float = MAX_HEAD_BYTES

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(-1 if size is None else size)
        self.left -= len(line)
        if self.left < 0:
            raise HTTPException("The head of the answer is longer than one could be.")
        return line


class _Answer(HTTPResponse):
    """An answer with a bounded head: http.client skips any number of interim responses, and of a proxy's fields.

    No timer of gevent's can fire while they flood in.
    """

    def __init__(self, sock: socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._head = self.fp = _Head(self.fp.detach())

    def begin(self) -> None:
        """Read the head. The lines that come later are those between the chunks of a body, which its reader bounds."""
        super().begin()
        self._head.left = float("inf")


class _Connection(HTTPConnection):
    response_class = _Answer


class _TLSConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class BoundedAdapter(HTTPAdapter):
    """Sends for ``requests`` over connections that keep the bounds of ``connections``, by a proxy and without one."""

    _POOLS: Final = {"http": _Pool, "https": _TLSPool}
    _OPTIONS: Final = [*HTTPConnection.default_socket_options, *KEEPALIVE]

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of a session without a proxy."""
        super().init_poolmanager(*arguments, socket_options=self._OPTIONS, **options)
        self.poolmanager.pool_classes_by_scheme = self._POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make the pools of a session that goes by a proxy."""
        manager = super().proxy_manager_for(proxy, socket_options=self._OPTIONS, **options)
        manager.pool_classes_by_scheme = self._POOLS
        return manager
