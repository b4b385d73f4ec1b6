"""How the service reaches the outside: by the proxy and the certificates of its settings, and by nothing else."""

from __future__ import annotations

import gzip
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from service.core.errors import ServiceError, UpstreamError, UpstreamTimeoutError, UpstreamUnavailableError
from service.sandbox.tls import Certificate, write_certificate
from service.vendors import outbound
from service.vendors.base import Response
from service.vendors.connections import MAX_SECONDS, MAX_USES, Progress
from service.vendors.credentials import ApiKey
from service.vendors.network import Network
from service.vendors.openai import OpenAI
from service.vendors.transport import Transport
from tests.support.memory import traced_memory
from tests.support.processes import free_port
from tests.support.proxy import Proxy, running_proxy
from tests.support.service import Sandbox, running_sandbox, running_service
from tests.support.tokens import sign
from tests.support.tools import require
from tests.support.voice import LIVE, Voice, at_sandbox
from tests.test_transport import (
    POST,
    Flood,
    Handling,
    Host,
    Serve,
    an_answer,
    answering,
    answering_for_ever,
    running_host,
)


@pytest.fixture(scope="module")
def vendor() -> Iterator[Sandbox]:
    """The vendor behind TLS, with a certificate that only those know who are told."""
    with running_sandbox("--tls") as sandbox:
        yield sandbox


def authority_of(vendor: Sandbox) -> str:
    return vendor.run.output.partition("certificate: ")[2].split()[0]


def test_the_vendor_is_trusted_by_the_bundle_and_reached_by_the_proxy(vendor: Sandbox) -> None:
    with (
        running_proxy() as proxy,
        running_service(
            vendor.base_url, REQUESTS_CA_BUNDLE=authority_of(vendor), HTTPS_PROXY=proxy.url
        ) as service,
    ):
        assert service.token().status_code == 200
        assert [f"https://{host}/v1" for host in proxy.asked] == [vendor.base_url]


@pytest.mark.parametrize("scheme", ["", "https://"], ids=["no scheme", "https"])
def test_a_live_call_is_opened_and_ended_over_its_control_socket_by_a_proxy(
    vendor: Sandbox, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = authority_of(vendor)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority)  # for the test's own look at the sandbox
    certificate = Certificate.beside(Path(authority))
    with (
        running_proxy(certificate if scheme else None) as proxy,
        running_service(
            vendor.base_url,
            REQUESTS_CA_BUNDLE=authority,
            HTTPS_PROXY=scheme + proxy.url.partition("://")[2],
            ALLOWED_MODELS=LIVE,
        ) as service,
    ):
        voice = Voice(service, vendor)
        call_id = voice.opened(model=LIVE)
        assert voice.end(call_id).status_code == 204
        voice.wait_until_ended()
        assert at_sandbox(vendor)[-1]["ended_by"] == "sideband"
        assert len(proxy.asked) == 2


def test_a_host_of_no_proxy_is_reached_without_it(vendor: Sandbox) -> None:
    variables = {"REQUESTS_CA_BUNDLE": authority_of(vendor), "NO_PROXY": "localhost,127.0.0.1"}
    with (
        running_proxy() as proxy,
        running_service(vendor.base_url, HTTPS_PROXY=proxy.url, **variables) as service,
    ):
        assert service.token().status_code == 200
        assert proxy.asked == []


def test_an_interim_response_by_a_proxy_gives_nobody_the_answer_to_another(tmp_path: Path) -> None:
    """urllib3 takes it for the answer; the real one would be the next caller's."""
    answers = iter(("Alice's", "Bob's"))
    early = [b"HTTP/1.1 103 Early Hints\r\n\r\n"]

    def answer_late(connection: socket.socket) -> None:
        while connection.recv(65_536):
            if early:
                connection.sendall(early.pop())
            connection.sendall(an_answer(next(answers)))

    certificate = write_certificate(tmp_path)
    with ExitStack() as stack, running_proxy() as proxy:
        host, _ = Serve(stack, certificate)(answer_late)
        network = Network(ca_bundle=str(certificate.authority), https_proxy=proxy.url)
        transport = Transport(host.url, credential=ApiKey("sk-test"), network=network, timeout=5)
        stack.callback(transport.close)
        with pytest.raises(UpstreamError):
            transport.send(OpenAI().models())
        assert transport.send(OpenAI().models()).body == b"Bob's"
        assert host.connections == 2
        assert len(proxy.asked) == 2


@dataclass
class ByProxy:
    """Transports that go by a proxy to hosts behind TLS."""

    stack: ExitStack
    certificate: Certificate
    proxy: Proxy

    def to(self, handle: Handling) -> tuple[Host, Transport]:
        host, _ = Serve(self.stack, self.certificate)(handle)
        return host, self.transport_to(host.url)

    def transport_to(self, url: str) -> Transport:
        network = Network(ca_bundle=str(self.certificate.authority), https_proxy=self.proxy.url)
        transport = Transport(url, credential=ApiKey("sk-test"), network=network, timeout=5)
        self.stack.callback(transport.close)
        return transport


@pytest.fixture
def by_proxy(tmp_path: Path) -> Iterator[ByProxy]:
    """Run a proxy."""
    with ExitStack() as stack, running_proxy() as proxy:
        yield ByProxy(stack, write_certificate(tmp_path), proxy)


def test_an_answer_by_a_proxy_is_not_unpacked(by_proxy: ByProxy) -> None:
    """Plain bytes were asked for, as without a proxy. Before, 290 kB of gzip became 618 MB."""
    packed = gzip.compress(bytes(300_000_000))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    _, transport = by_proxy.to(answering(head.encode() + packed))
    with traced_memory() as memory, pytest.raises(UpstreamError):
        transport.send(OpenAI().models())
    assert memory.most < 10_000_000


@pytest.mark.parametrize(
    ("head", "drop", "most"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 16_000_000),
        (b"HTTP/1.1 200 OK\r\n", b"X-Long: " + b"long " * 1000 + b"\r\n", 16_000_000),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"long " * 1000, 96_000_000),
    ],
    ids=["of interim answers", "of a head", "of a body"],
)
def test_a_flood_by_a_proxy_is_no_answer(by_proxy: ByProxy, head: bytes, drop: bytes, most: int) -> None:
    """The same bounds hold as without one; http.client skips interim answers without end."""
    flood = Flood(head, drop)
    host, transport = by_proxy.to(flood)
    with pytest.raises(ServiceError) as refused:
        transport.send(replace(OpenAI().models(), retryable=False))
    assert refused.value.status in {502, 503}
    assert host.hung_up.wait(5)
    assert flood.sent < most


def test_connections_by_a_proxy_have_so_many_uses_and_an_age_at_most(
    by_proxy: ByProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(outbound, "monotonic", lambda: now)
    host, transport = by_proxy.to(answering_for_ever)
    for _ in range(MAX_USES + 1):
        assert transport.send(OpenAI().models()).body == b"ok"
    assert host.connections == 2
    now += MAX_SECONDS + 1
    assert transport.send(OpenAI().models()).body == b"ok"
    assert host.connections == 3


def test_an_answer_by_a_proxy_that_cannot_be_the_requests_closes_its_connection(by_proxy: ByProxy) -> None:
    def refuse(_: Response) -> None:
        raise UpstreamError("another request's")

    host, transport = by_proxy.to(answering_for_ever)
    with pytest.raises(UpstreamError, match="another request's"):
        transport.send(OpenAI().models(), check=refuse)
    assert transport.send(OpenAI().models()).body == b"ok"
    assert host.connections == 2


def test_what_the_vendor_received_and_did_not_answer_counts_as_sent_by_a_proxy_too(by_proxy: ByProxy) -> None:
    host, transport = by_proxy.to(answering(b""))
    progress = Progress()
    with pytest.raises(UpstreamUnavailableError) as refused:
        transport.send(POST, progress=progress)
    assert progress.sent
    assert refused.value.reason == "RemoteDisconnected"
    assert host.connections == 1


def test_a_kept_connection_by_a_proxy_that_the_vendor_closes_is_no_reason_not_to_ask_again(
    by_proxy: ByProxy,
) -> None:
    def answer_once(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(an_answer())
        connection.recv(65_536)  # and hang up on this one

    host, transport = by_proxy.to(answer_once)
    assert [transport.send(OpenAI().models()).body for _ in range(3)] == [b"ok"] * 3
    assert host.connections == 3


def test_a_vendor_that_closes_during_the_handshake_by_a_proxy_is_asked_again_and_named_in_the_log(
    by_proxy: ByProxy,
) -> None:
    """As without a proxy: it may be starting again."""
    with running_host(answering(b""), encryption=None) as host:
        transport = by_proxy.transport_to(host.url.replace("http://", "https://"))
        with pytest.raises(UpstreamUnavailableError) as refused:
            transport.send(OpenAI().models())
    assert (refused.value.reason, host.connections) == ("SSLEOFError", 2)


def test_a_proxy_that_does_not_answer_is_given_up_in_the_time_for_connecting_and_was_sent_nothing(
    by_proxy: ByProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "CONNECT_SECONDS", 0.2)
    progress = Progress()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        by_proxy.proxy.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        _, transport = by_proxy.to(answering_for_ever)
        began = time.monotonic()
        with pytest.raises(UpstreamTimeoutError):
            transport.send(POST, progress=progress)
    assert time.monotonic() - began < transport.timeout
    assert not progress.sent


def test_a_certificate_of_an_unknown_authority_is_not_trusted(vendor: Sandbox) -> None:
    with running_service(vendor.base_url) as service:
        answer = service.token()

        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "upstream_unavailable"
        assert "SSLCertVerificationError" in service.run.output


def test_a_trusted_certificate_of_another_host_is_not_taken(vendor: Sandbox) -> None:
    """The same address, by a name that is not in the certificate."""
    other = vendor.base_url.replace("127.0.0.1", "127.1")
    network = Network(ca_bundle=authority_of(vendor))
    transport = Transport(other, credential=ApiKey("sk-test"), network=network, timeout=10)
    with pytest.raises(UpstreamUnavailableError) as refused:
        transport.send(OpenAI().models())
    assert refused.value.reason == "SSLCertVerificationError"


def test_a_folder_of_certificates_is_trusted_as_a_file_is(vendor: Sandbox, tmp_path: Path) -> None:
    shutil.copy(authority_of(vendor), tmp_path / "authority.pem")
    require("openssl")
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    with running_service(vendor.base_url, REQUESTS_CA_BUNDLE=str(tmp_path)) as service:
        assert service.token().status_code == 200


def test_the_identity_providers_keys_are_fetched_by_the_proxy_too(sandbox: Sandbox) -> None:
    host = f"127.0.0.1:{free_port()}"
    with (
        running_proxy() as proxy,
        running_service(
            sandbox.base_url, JWT_SECRET="", JWT_JWKS_URL=f"https://{host}/keys", HTTPS_PROXY=proxy.url
        ) as service,
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        assert service.token(jwt=sign(key, "ES256")).status_code == 503
        assert host in proxy.asked
