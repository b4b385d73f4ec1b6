"""Find the address of the client that a request comes from."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from werkzeug.datastructures import Headers

UNKNOWN: Final = "unknown"
"""The one bucket of all whose address cannot be read."""

_NAT64: Final = ip_network("64:ff9b::/96")
_IPV4_BITS: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class AddressSource:
    """Where a client's address is read from: behind so many proxies, or in the header that the admin names."""

    hops: int = 0
    header: str | None = None

    def read(self, remote_addr: str | None, headers: Headers) -> str:
        """Return the client's address of a request; see ``client_address``."""
        named = headers.get(self.header, "") if self.header else None
        return client_address(remote_addr, headers.get("X-Forwarded-For"), self.hops, named=named)


def client_address(
    remote_addr: str | None, forwarded_for: str | None, hops: int, *, named: str | None = None
) -> str:
    """Return the client's address as the trusted proxies report it: an IPv4 address or an IPv6 /64.

    Each proxy appends the address it was called from to ``X-Forwarded-For``, so of its entries only the last
    ``hops`` are to be believed and the first of those is the client; whatever the client itself wrote stands
    further left. Empty entries count as none (RFC 9110 §5.6.1.2). Fewer entries than hops mean that an outer proxy
    was passed by.

    ``named`` is the content of the header of ``CLIENT_ADDRESS_HEADER``, ``""`` where the request has none: a host
    that sets one is believed instead of counting hops. It is None where the admin names no header.

    Where no address can be read the peer's own is taken: a whole proxy in one bucket is strict, and no way around.
    IPv6 clients are told apart by /64, since each usually has one to itself (RFC 6177), and IPv4 clients that reach
    an IPv6 host through NAT64 by the IPv4 address in theirs (RFC 6052 §2.1).
    """
    entries = [entry for entry in (forwarded_for or "").split(",") if entry.strip(' \t"')]
    believed = entries[-hops:][0] if entries and hops > 0 else ""
    claimed = believed if named is None else named
    return _network(claimed) or _network(remote_addr or "") or UNKNOWN


def _network(text: str) -> str | None:
    """Read ``1.2.3.4``, ``1.2.3.4:5555``, ``2001:db8::1`` or ``[2001:db8::1]:443``, quoted or not."""
    text = text.strip(' \t"')
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
    if address in _NAT64:
        return str(IPv4Address(int(address) & _IPV4_BITS))
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False))
