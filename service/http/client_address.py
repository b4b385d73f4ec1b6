"""Which client a request without a valid token comes from, as far as that can be known."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

UNKNOWN: Final = "unknown"
"""The one bucket of all whose address cannot be read."""


def client_address(remote_addr: str | None, forwarded_for: str | None, hops: int) -> str:
    """Name the client that ``hops`` trusted proxies speak for: an IPv4 address or an IPv6 /64.

    Each proxy appends the address it was called from to ``X-Forwarded-For``, so of its entries only the last
    ``hops`` are to be believed and the first of those is the client; whatever the client itself wrote stands
    further left. Fewer entries than hops mean that an outer proxy was passed by. An entry that holds no address,
    or none where one should be, leaves the peer's own: a whole proxy in one bucket is strict, and no way around.

    IPv6 clients are told apart by /64, since each usually has one to itself (RFC 6177).
    """
    entries = [entry.strip() for entry in (forwarded_for or "").split(",")] if hops > 0 else []
    believed = entries[-hops:] if entries else []
    claimed = _network(believed[0]) if believed else None
    return claimed or _network(remote_addr or "") or UNKNOWN


def _network(text: str) -> str | None:
    """Read ``1.2.3.4``, ``1.2.3.4:5555``, ``2001:db8::1`` or ``[2001:db8::1]:443``."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False))
