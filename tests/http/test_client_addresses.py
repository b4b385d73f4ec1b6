"""Whose failures are counted together: clients behind NAT64, behind proxies, and behind hosts that name them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.service import Sandbox, TokenService, running_service

WEATHER = {"RATE_LIMIT_FAILED_AUTH": "2/hour"}


@pytest.fixture(scope="module")
def named(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service behind a host that puts the client's address into a header of its own."""
    with running_service(sandbox.base_url, CLIENT_ADDRESS_HEADER="Fly-Client-IP", **WEATHER) as service:
        yield service


@pytest.fixture(scope="module")
def counted(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service behind one proxy that appends to X-Forwarded-For."""
    with running_service(sandbox.base_url, TRUSTED_PROXY_HOPS="1", **WEATHER) as service:
        yield service


def fail(service: TokenService, **headers: str) -> int:
    """Send a bad token as a client with such headers; return the status."""
    spelled = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.token(jwt="junk", headers=spelled).status_code


def test_clients_are_told_apart_by_the_header_that_the_admin_names(named: TokenService) -> None:
    """Also where they send an X-Forwarded-For of their own."""
    first = [fail(named, Fly_Client_IP="203.0.113.1", X_Forwarded_For=f"198.51.100.{n}") for n in range(3)]

    assert first == [401, 401, 429]
    assert fail(named, Fly_Client_IP="203.0.113.2") == 401


def test_without_the_header_the_peers_own_address_counts(named: TokenService) -> None:
    assert [fail(named), fail(named, X_Forwarded_For="203.0.113.9"), fail(named)] == [401, 401, 429]


def test_such_a_header_is_not_believed_where_the_admin_did_not_name_it(counted: TokenService) -> None:
    """Or anybody could choose an address."""
    statuses = [
        fail(counted, X_Forwarded_For="203.0.113.77", **{name: f"198.51.100.{n}"})
        for n, name in enumerate(("Fly_Client_IP", "CF_Connecting_IP", "True_Client_IP"))
    ]

    assert statuses == [401, 401, 429]


@pytest.mark.parametrize(
    ("spellings", "client"),
    [
        (["64:ff9b::c000:20a", '"[64:ff9b::c000:20a]:443"', "192.0.2.10"], "192.0.2.10"),
        (['"192.0.2.11"', "192.0.2.11, , ", "192.0.2.11:5555"], "192.0.2.11"),
    ],
    ids=["NAT64", "quoted, and with empty elements"],
)
def test_one_client_is_one_client_however_a_proxy_writes_it(
    counted: TokenService, spellings: list[str], client: str
) -> None:
    statuses = [fail(counted, X_Forwarded_For=spelling) for spelling in spellings]

    assert statuses == [401, 401, 429]
    assert fail(counted, X_Forwarded_For=client) == 429


def test_the_neighbour_behind_the_same_nat64_is_another_client(counted: TokenService) -> None:
    assert [fail(counted, X_Forwarded_For=f"64:ff9b::c633:640{n}") for n in range(4)] == [401] * 4
    assert [fail(counted, X_Forwarded_For="64:ff9b::c633:6408") for _ in range(3)] == [401, 401, 429]
