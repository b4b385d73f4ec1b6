"""Refused credentials count against the client that sent them, and no header moves them elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.client_address import UNKNOWN, client_address

ROUTER = "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded_for", "hops", "client"),
    [
        (None, 0, ROUTER),
        ("203.0.113.7", 0, ROUTER),
        ("203.0.113.7", 1, "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", 1, "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7, 198.51.100.2", 2, "203.0.113.7"),
        ("203.0.113.7", 2, "203.0.113.7"),
        (None, 1, ROUTER),
        ("", 1, ROUTER),
        ("", 2, ROUTER),
        (" , ", 1, ROUTER),
        ("203.0.113.7, ", 1, "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7, , 198.51.100.2", 2, "203.0.113.7"),
        ('"203.0.113.7"', 1, "203.0.113.7"),
        ('"[2001:db8:1:2:3::4]:443"', 1, "2001:db8:1:2::/64"),
        ('6.6.6.6, ""', 1, "6.6.6.6"),
        ("64:ff9b::203.0.113.7", 1, "203.0.113.7"),
        ("64:ff9b::cb00:7107", 1, "203.0.113.7"),
        ("64:ff9b:1::cb00:7107", 1, "64:ff9b:1::/64"),
        ("6.6.6.6, not-an-ip", 1, ROUTER),
        ("unknown", 1, ROUTER),
        ("203.0.113.7:5555", 1, "203.0.113.7"),
        ("[2001:db8:1:2:3::4]:443", 1, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3::4", 1, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", 1, "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", 1, "203.0.113.7"),
        ("fe80::1%eth0", 1, "fe80::/64"),
    ],
)
def test_the_client_is_what_the_outermost_trusted_proxy_saw(
    forwarded_for: str | None, hops: int, client: str
) -> None:
    """Ports go, IPv6 counts by /64, and what is no address leaves the peer's own."""
    assert client_address(ROUTER, forwarded_for, hops) == client


@pytest.mark.parametrize(
    ("named", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (' "2001:db8:1:2:3::4" ', "2001:db8:1:2::/64"),
        ("", ROUTER),
        ("not-an-ip", ROUTER),
        ("203.0.113.7, 6.6.6.6", ROUTER),
        (None, "198.51.100.2"),
    ],
)
def test_a_host_may_name_the_client_in_a_header_of_its_own(named: str | None, client: str) -> None:
    """Then no hops are counted; a request without that header came past the host."""
    assert client_address(ROUTER, "6.6.6.6, 198.51.100.2", 1, named=named) == client


@pytest.mark.parametrize("remote_addr", [None, "", "/run/socket"])
def test_a_peer_without_an_address_has_a_bucket_too(remote_addr: str | None) -> None:
    """A key is never empty, since the library would then not count at all."""
    assert client_address(remote_addr, None, 0) == UNKNOWN


@given(
    spoofed=st.text(st.characters(codec="latin-1"), max_size=80),
    hops=st.integers(1, 3),
    seen=st.lists(st.ip_addresses(v=4).map(str), min_size=3, max_size=3),
)
def test_nothing_a_client_writes_changes_its_bucket(spoofed: str, hops: int, seen: list[str]) -> None:
    """Whatever stands left of the trusted proxies' entries is not even looked at."""
    appended = ", ".join(seen[:hops])
    assert client_address(ROUTER, f"{spoofed}, {appended}", hops) == seen[0]


@given(
    remote=st.none() | st.text(max_size=40),
    forwarded_for=st.none() | st.text(max_size=80),
    hops=st.integers(0, 10),
)
def test_any_junk_is_some_bucket(remote: str | None, forwarded_for: str | None, hops: int) -> None:
    """Never an error, and never an empty key."""
    assert client_address(remote, forwarded_for, hops)
