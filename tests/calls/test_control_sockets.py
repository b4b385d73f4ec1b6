"""Control sockets over real WebSockets: bounded in time, closed after use, and silent about the key."""

from __future__ import annotations

import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response as Refusal
from websockets.sync.server import ServerConnection, serve

from service.sandbox.tls import Certificate, write_certificate
from service.vendors.control_sockets import ControlSocketError, ControlSockets
from service.vendors.credentials import ApiKey
from service.vendors.network import Network
from tests.support.proxy import running_proxy
from tests.test_transport import Flood, answering, running_host

KEY = "sk-marked-key-0123456789"
TLS_HANDSHAKE = 22
"""What the first record of TLS begins with (RFC 8446 §5.1)."""


@contextmanager
def vendor(
    handle: Callable[[ServerConnection], None],
    status: int | None = None,
    *,
    certificate: Certificate | None = None,
    proxy: str | None = None,
) -> Iterator[ControlSockets]:
    """Serve WebSockets on a free port, by TLS with a certificate; with a status each upgrade is refused."""
    encryption = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
    if encryption and certificate:
        encryption.load_cert_chain(certificate.chain, certificate.key)

    def refuse(_: ServerConnection, request: Any) -> Refusal | None:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert "Origin" not in request.headers
        return Refusal(status, "No", Headers(), b"") if status else None

    with serve(handle, "127.0.0.1", 0, process_request=refuse, ssl=encryption) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.socket.getsockname()[1]}/v1"
        network = Network(str(certificate.authority) if certificate else None, proxy)
        yield ControlSockets(url, credential=ApiKey(KEY), network=network)
        server.shutdown()
        thread.join()


def read(message: str) -> str | None:
    return message if message == "closed" else None


def test_a_message_is_sent_and_the_answer_found_among_others() -> None:
    seen: list[Any] = []
    left = threading.Event()

    def handle(connection: ServerConnection) -> None:
        seen.append(connection.recv())
        for message in ("audio", b"\xff", "closed"):
            connection.send(message)
        with pytest.raises(ConnectionClosed):
            connection.recv()
        left.set()

    with vendor(handle) as sockets:
        assert sockets.send("/x", "close", read, seconds=5) == "closed"
        assert left.wait(5)
    assert seen == ["close"]


def test_it_is_closed_right_after_its_upgrade_where_only_that_is_asked() -> None:
    left = threading.Event()

    def handle(connection: ServerConnection) -> None:
        with pytest.raises(ConnectionClosed):
            connection.recv()
        left.set()

    with vendor(handle) as sockets:
        assert sockets.is_open("/x", seconds=5)
        assert left.wait(5)


@pytest.mark.parametrize(("status", "found"), [(404, False), (401, None), (500, None)])
def test_only_a_404_says_that_there_is_no_session(status: int, found: bool | None) -> None:
    with vendor(lambda _: None, status) as sockets:
        if found is False:
            assert not sockets.is_open("/x", seconds=5)
            return
        with pytest.raises(ControlSocketError) as refused:
            sockets.is_open("/x", seconds=5)
        assert refused.value.status == status
        assert KEY not in str(refused.value)


@pytest.mark.parametrize("dripping", [False, True], ids=["silent", "dripping"])
def test_one_that_never_confirms_is_given_up_in_time(dripping: bool) -> None:
    def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                connection.send("audio") if dripping else connection.recv()
                time.sleep(0.05)

    with vendor(handle) as sockets:
        began = time.monotonic()
        with pytest.raises(ControlSocketError, match="did not confirm within"):
            sockets.send("/x", "close", read, seconds=0.5)
        assert time.monotonic() - began < 3


def test_one_that_closes_without_confirming_is_an_error() -> None:
    with vendor(lambda connection: connection.close()) as sockets, pytest.raises(ControlSocketError):
        sockets.send("/x", "close", read, seconds=5)


def test_a_vendor_that_is_not_there_is_an_error() -> None:
    sockets = ControlSockets("http://127.0.0.1:1/v1", credential=ApiKey(KEY), network=Network())
    with pytest.raises(ControlSocketError, match="ConnectionRefusedError"):
        sockets.is_open("/x", seconds=5)


def test_a_redirect_is_not_followed() -> None:
    with vendor(lambda _: None, 302) as sockets, pytest.raises(ControlSocketError):
        sockets.is_open("/x", seconds=5)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """Make a certificate for this machine."""
    return write_certificate(tmp_path)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_it_is_opened_by_a_proxy_that_is_signed_in_to(scheme: str, certificate: Certificate) -> None:
    def handle(connection: ServerConnection) -> None:
        connection.recv()
        for message in ("audio", "x" * 100_000, "closed"):
            connection.send(message)

    with running_proxy(certificate if scheme == "https" else None) as proxy:
        url = proxy.url.replace("://", "://ada:p%40ss@")
        with vendor(handle, certificate=certificate, proxy=url) as sockets:
            assert sockets.send("/x", "close", read, seconds=5) == "closed"
    assert proxy.credentials == [f"Basic {b64encode(b'ada:p@ss').decode()}"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_one_by_a_proxy_that_is_cut_off_is_an_error(scheme: str, certificate: Certificate) -> None:
    def handle(connection: ServerConnection) -> None:
        connection.recv()
        connection.socket.shutdown(SHUT_RDWR)

    with (
        running_proxy(certificate if scheme == "https" else None) as proxy,
        vendor(handle, certificate=certificate, proxy=proxy.url) as sockets,
        pytest.raises(ControlSocketError, match="failed"),
    ):
        sockets.send("/x", "close", read, seconds=5)


def test_a_proxy_of_https_is_told_nothing_in_the_clear(certificate: Certificate) -> None:
    received: list[bytes] = []
    with running_host(lambda connection: received.append(connection.recv(65_536)), encryption=None) as proxy:
        url = proxy.url.replace("http://", "https://ada:secret@")
        with (
            vendor(lambda _: None, certificate=certificate, proxy=url) as sockets,
            pytest.raises(ControlSocketError),
        ):
            sockets.is_open("/x", seconds=5)
    assert [data[0] for data in received] == [TLS_HANDSHAKE]


def test_a_proxy_whose_certificate_is_not_trusted_is_told_no_password(
    certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = write_certificate(tmp_path_factory.mktemp("other"))
    with running_proxy(other) as proxy:
        url = proxy.url.replace("://", "://ada:secret@")
        with (
            vendor(lambda _: None, certificate=certificate, proxy=url) as sockets,
            pytest.raises(ControlSocketError, match="SSLCertVerificationError"),
        ):
            sockets.is_open("/x", seconds=5)
    assert proxy.credentials == []


def test_a_proxy_that_refuses_is_an_error(certificate: Certificate) -> None:
    with (
        running_host(answering(b"HTTP/1.1 407 Sign in\r\n\r\n"), encryption=None) as proxy,
        vendor(lambda _: None, certificate=certificate, proxy=proxy.url) as sockets,
        pytest.raises(ControlSocketError, match="ProxyError"),
    ):
        sockets.is_open("/x", seconds=5)


def test_a_flood_by_a_proxy_is_an_error(certificate: Certificate) -> None:
    flood = Flood(b"HTTP/1.1 200 OK\r\n", b"X-Long: " + b"long " * 1000 + b"\r\n")
    with (
        running_host(flood, encryption=None) as proxy,
        vendor(lambda _: None, certificate=certificate, proxy=proxy.url) as sockets,
    ):
        with pytest.raises(ControlSocketError, match="ProxyError"):
            sockets.is_open("/x", seconds=5)
        assert proxy.hung_up.wait(5)
