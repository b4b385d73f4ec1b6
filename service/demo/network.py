"""Ports and addresses: which are free, and at which this machine is reached."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from errno import EACCES, EADDRINUSE
from typing import Final

from service.core.environment_types import authority

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - how a wildcard is reached from here
_TRIES: Final = 100
_SECONDS: Final = 1.0
_UNROUTED: Final = "192.0.2.1"
"""An address for documentation (RFC 5737): nothing is sent to it, the kernel only chooses a way."""


class PortTakenError(Exception):
    """No port can be had; the message says which and what to do."""


def take_port(
    host: str, named: int | None, preferred: int, claim: Callable[[int], bool], *, apart_from: int = 0
) -> int:
    """Choose a port of ``host``: the named one (0: any), else the first free from ``preferred`` on that can be claimed.

    Raises:
        PortTakenError: another program listens on the named one, or on all that were tried; or no program of this
            machine can listen on ``host``.
    """
    try:
        return _take_port(host, named, preferred, claim, apart_from)
    except OSError as error:
        raise PortTakenError(
            f"This machine cannot listen on {host} ({error.strerror}); name one of its own addresses."
        ) from None


def _take_port(
    host: str, named: int | None, preferred: int, claim: Callable[[int], bool], apart_from: int
) -> int:
    if named == 0:
        with socket.create_server((host, 0)) as probe:
            return int(probe.getsockname()[1])
    if named is not None:
        if named == apart_from or is_taken(host, named):
            raise PortTakenError(f"Port {named} of {host} is taken; name another one, or none.")
        return named
    for port in range(preferred, min(preferred + _TRIES, 65_536)):
        if port != apart_from and not is_taken(host, port) and claim(port):
            return port
    raise PortTakenError(f"Ports {preferred} and the next {_TRIES} of {host} are taken; name a free one.")


def is_taken(host: str, port: int) -> bool:
    """Return whether a server could not listen there, or whether somebody answers there already.

    Raises:
        OSError: no server could, whatever the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do, or connections that have just ended would keep the port from its next start.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno not in {EADDRINUSE, EACCES}:
                raise
            return True
    with socket.socket(family) as probe:
        # On some systems two may listen, one on all addresses and one on this one.
        probe.settimeout(_SECONDS)
        return probe.connect_ex((WILDCARDS.get(host, host), port)) == 0


def own_addresses() -> tuple[str, ...]:
    """List this machine's addresses on networks, the one that leads furthest first; loopback is not among them."""
    import ifaddr  # noqa: PLC0415 - a package of the sandbox, which --live does without

    plain = [
        ip.ip if isinstance(ip.ip, str) else ip.ip[0]
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    ]
    read = [ipaddress.ip_address(address) for address in plain]
    found = [str(address) for address in read if not (address.is_loopback or address.is_link_local)]
    return tuple(sorted(dict.fromkeys(found), key=lambda one: (one != _outward_address(), ":" in one)))


def _outward_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_UNROUTED, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def url_of(scheme: str, host: str, port: int) -> str:
    """Write the base of a server's URLs."""
    return f"{scheme}://{authority(WILDCARDS.get(host, host), port)}"
