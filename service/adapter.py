"""Connections that are kept, and cost next to nothing to use again."""

from __future__ import annotations

from select import POLLIN
from typing import Any

from gevent.monkey import get_original
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool, HTTPSConnectionPool


def _is_open(connection: HTTPConnection) -> bool:
    """Tell whether a pooled connection can be used again, which urllib3 asks before each use.

    The system's own ``poll`` answers at once. gevent's, even with timeout 0, waits for a turn of the whole
    loop, at the cost of a tenth of a mint.
    """
    if connection.sock is None:
        return False
    poll = get_original("select", "poll")()
    poll.register(connection.sock, POLLIN)
    return not poll.poll(0)


class _Connection(HTTPConnection):
    is_connected = property(_is_open)


class _TLSConnection(HTTPSConnection):
    is_connected = property(_is_open)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class OneHostAdapter(HTTPAdapter):
    """Sends to one host only, over connections that know at once whether they are still open.

    So the pool, which ``requests`` looks up anew by the URL, the certificates and the proxy of each request, is
    looked up once: another tenth of a mint.
    """

    def __init__(self, *, connections: int) -> None:
        self._pool: ConnectionPool | None = None
        super().__init__(pool_connections=1, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Choose the pools; those through a proxy stay urllib3's own."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        """Return the pool that the first request led to."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        """Return what the request line names; only a proxy for plain HTTP wants the whole URL, and has none here."""
        return request.path_url if not proxies else super().request_url(request, proxies)
