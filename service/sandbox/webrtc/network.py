"""Which addresses the sandbox's peers are reached at."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import aioice.ice
import ifaddr

LOOPBACK = "127.0.0.1"

AddressSource = Callable[..., list[str]]
"""Takes ``use_ipv4`` and ``use_ipv6``: whether addresses of these kinds are wanted."""


def use_addresses_for(host: str) -> None:
    """Let ICE gather candidates where the sandbox listens.

    aioice leaves loopback out, since a browser elsewhere could not reach it; here the browser is on this machine,
    which may be connected to nothing. It has no setting for this, so its function is replaced, for the process.

    ``host`` is the address that the sandbox listens on: a loopback address gives candidates on loopback alone, any
    other adds all of the machine's own addresses.
    """
    aioice.ice.get_host_addresses = address_source(host)


def has_interface() -> bool:
    """Return whether a network interface is up beside loopback: without one, browsers offer no address."""
    return any(_own(adapter) for adapter in ifaddr.get_adapters())


def address_source(host: str) -> AddressSource:
    """Make the function that tells ICE its own addresses."""

    def addresses(*, use_ipv4: bool, use_ipv6: bool) -> list[str]:
        found = [LOOPBACK]
        if host == "::1":
            found.append(host)
        elif not _is_loopback(host):
            found += [address for adapter in ifaddr.get_adapters() for address in _own(adapter)]
        return [one for one in found if (use_ipv6 if ":" in one else use_ipv4)]

    return addresses


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own(adapter: ifaddr.Adapter) -> list[str]:
    """List an interface's addresses, without loopback and without link-local ones, which need a scope."""
    plain = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in adapter.ips]
    read = [ipaddress.ip_address(address) for address in plain]
    return [str(address) for address in read if not (address.is_loopback or address.is_link_local)]
