"""Connections are kept, what happens to them meanwhile is noticed, and each failure is told as one of ours."""

from __future__ import annotations

import gc
import os
import resource
import socket
import ssl
import struct
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain, cycle, repeat
from pathlib import Path

import pytest

from service.core.errors import LeakedKeyError, UpstreamError, UpstreamTimeoutError, UpstreamUnavailableError
from service.sandbox.tls import Certificate, write_certificate
from service.vendors import connections
from service.vendors.base import Request, Response
from service.vendors.connections import MAX_SECONDS, MAX_USES, KeptConnections, Progress
from service.vendors.credentials import ApiKey
from service.vendors.network import Network
from service.vendors.transport import Transport
from tests.support.holding_vendor import holding_vendor
from tests.support.memory import traced_memory
from tests.support.processes import free_port, wait_until
from tests.support.tools import require

LONG = bytes(20_000_000)
"""A body that no buffer between client and server holds whole."""

POST = Request("POST", "/mints", {"Content-Type": "application/json"}, b"{}")
"""A request that is sent once."""

Handling = Callable[[socket.socket], None]


def an_answer(text: str = "ok") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def answering(answer: bytes) -> Handling:
    """Answer the first request on a connection, and hang up."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    return handle


def answering_for_ever(connection: socket.socket) -> None:
    """Answer each request, as long as there are some."""
    while connection.recv(65_536):
        connection.sendall(an_answer())


def answering_bit_by_bit(connection: socket.socket) -> None:
    """Say to go on, then send the head and the body, with time to read each of them alone."""
    head, _, body = an_answer().partition(b"\r\n\r\n")
    while connection.recv(65_536):
        for part in (b"HTTP/1.1 100 Continue\r\n\r\n", head + b"\r\n\r\n", body):
            connection.sendall(part)
            time.sleep(0.02)


def resetting_after(answer: bytes) -> Handling:
    """Send what there is of an answer, and a reset behind it."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return handle


@dataclass
class Flood:
    """Begins an answer that never ends, and counts what of it could be sent (bytes)."""

    head: bytes
    drop: bytes
    sent: int = 0

    def __call__(self, connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(self.head)
        while True:
            connection.sendall(self.drop * 1000)
            self.sent += len(self.drop) * 1000


def refusing_unread(connection: socket.socket) -> None:
    """Refuse a long body before it is there, and hang up on the rest of it."""
    connection.recv(1)
    connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")


@dataclass
class Host:
    """A server of bytes, and the connections it was sent."""

    listener: socket.socket
    handle: Handling
    encryption: ssl.SSLContext | None
    connections: int = 0
    hung_up: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self.encryption else 'http'}://127.0.0.1:{self.port}/v1"

    def serve(self) -> None:
        """Handle one connection after the other, until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
            )  # what is sent before a reset arrives
            with connection, suppress(OSError):
                self._handle(connection)
            self.hung_up.set()

    def _handle(self, connection: socket.socket) -> None:
        if not self.encryption:
            self.handle(connection)
            return
        with self.encryption.wrap_socket(connection, server_side=True) as encrypted:
            self.handle(encrypted)


@contextmanager
def running_host(handle: Handling, *, encryption: ssl.SSLContext | None) -> Iterator[Host]:
    """Serve on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = Host(listener, handle, encryption)
        thread = threading.Thread(target=host.serve, daemon=True)
        thread.start()
        yield host
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Make a certificate for this machine."""
    return write_certificate(tmp_path_factory.mktemp("certificate"))


class Serve:
    """Starts hosts, in the clear or under TLS, each with a transport as the mint has one."""

    def __init__(self, stack: ExitStack, certificate: Certificate | None) -> None:
        self._stack = stack
        self._network = Network(ca_bundle=str(certificate.authority) if certificate else None)
        self._encryption = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
        if self._encryption and certificate:
            self._encryption.load_cert_chain(certificate.chain, certificate.key)

    def __call__(self, handle: Handling, *, timeout: float = 10) -> tuple[Host, Transport]:
        host = self._stack.enter_context(running_host(handle, encryption=self._encryption))
        transport = transport_to(host.url, self._network, timeout=timeout)
        self._stack.callback(transport.close)
        return host, transport


def transport_to(url: str, network: Network | None = None, *, timeout: float = 10) -> Transport:
    """Make a transport as the service has one."""
    credential = ApiKey("sk-test", project="proj_acme")
    return Transport(url, credential=credential, network=network or Network(), timeout=timeout)


def texts(transport: Transport, times: int) -> list[str]:
    """Send as many requests, one after the other."""
    return [transport.send(POST).body.decode() for _ in range(times)]


@pytest.fixture(params=["in the clear", "under TLS"])
def serve(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[Serve]:
    """Hand out what starts hosts, and end them."""
    with ExitStack() as stack:
        yield Serve(stack, certificate if request.param == "under TLS" else None)


@pytest.fixture
def serve_in_the_clear() -> Iterator[Serve]:
    """The same for what TLS does not change, or hides."""
    with ExitStack() as stack:
        yield Serve(stack, None)


@contextmanager
def without_the_collector() -> Iterator[None]:
    """Let cycles lie, as they do between two of its rounds."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture
def many_open_files() -> Iterator[None]:
    """Open so many files that the next one's number is over 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for number in opened:
        os.close(number)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_connection_is_used_again(serve: Serve) -> None:
    host, transport = serve(answering_for_ever)
    assert texts(transport, 3) == ["ok"] * 3
    assert host.connections == 1


@pytest.mark.parametrize(("retryable", "connections"), [(True, 1), (False, 3)])
def test_what_must_not_be_sent_twice_is_not_sent_on_a_connection_that_was_idle(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, retryable: bool, connections: int
) -> None:
    """Its host may be closing it just then, and whether it had read the request nobody would know."""
    monkeypatch.setattr("service.vendors.connections.JUST_NOW_SECONDS", 0)
    host, transport = serve(answering_for_ever)
    for _ in range(3):
        transport.send(replace(POST, retryable=retryable))
    assert host.connections == connections


@pytest.mark.usefixtures("many_open_files")
def test_a_connection_is_used_again_where_many_are_open(serve: Serve) -> None:
    """The system's ``select`` knows no file beyond the 1,024th, and 500 mints in flight hold more."""
    host, transport = serve(answering_for_ever)
    assert texts(transport, 3) == ["ok"] * 3
    assert host.connections == 1


def test_a_connection_that_was_closed_while_idle_is_not_used_again(serve: Serve) -> None:
    """The second request goes over a fresh connection at once, and needs no retry."""
    host, transport = serve(answering(an_answer()))
    for _ in range(2):
        host.hung_up.clear()
        assert texts(transport, 1) == ["ok"]
        assert host.hung_up.wait(5)
    assert host.connections == 2


def test_a_connection_that_is_to_be_closed_is_not_used_again(serve: Serve) -> None:
    def answer_once(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        connection.recv(65_536)

    host, transport = serve(answer_once)
    assert texts(transport, 2) == ["ok", "ok"]
    assert host.connections == 2


def test_the_request_names_the_host_signs_in_and_asks_for_plain_bytes(serve: Serve) -> None:
    """No content coding is undone on the way back."""
    received: list[bytes] = []

    def remember(connection: socket.socket) -> None:
        while b"{}" not in b"".join(received):
            received.append(connection.recv(65_536))
        connection.sendall(an_answer())

    host, transport = serve(remember)
    transport.send(replace(POST, path="/mints?a=b"))
    head, _, body = b"".join(received).decode().partition("\r\n\r\n")
    line, *headers = head.split("\r\n")
    assert (line, body) == ("POST /v1/mints?a=b HTTP/1.1", "{}")
    assert set(headers) == {
        f"Host: 127.0.0.1:{host.port}",
        "Accept-Encoding: identity",
        "User-Agent: realtime-token-service",
        "Authorization: Bearer sk-test",
        "OpenAI-Project: proj_acme",
        "Content-Type: application/json",
        "Content-Length: 2",
    }


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + an_answer(),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + an_answer(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["after an interim one", "after two interim ones", "in chunks", "until the end", "of HTTP/1.0"],
)
def test_each_form_of_an_answer_is_read(serve: Serve, answer: bytes) -> None:
    _, transport = serve(answering(answer))
    response = transport.send(POST)
    assert (response.status, response.body) == (200, b"ok")


def test_an_answer_that_comes_bit_by_bit_is_read_whole(serve: Serve) -> None:
    host, transport = serve(answering_bit_by_bit)
    assert texts(transport, 2) == ["ok", "ok"]
    assert host.connections == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", UpstreamUnavailableError),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", UpstreamError),
        (b"HTTP/1.1 200 OK\r\nContent-", UpstreamError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok", UpstreamError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", UpstreamError),
        (b"220 smtp.example\r\n", UpstreamError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", UpstreamError),
        (an_answer() + an_answer("too much"), UpstreamError),
        (b"HTTP/1.1 104 Strange\r\nContent-Length: 2\r\n\r\nxx" + an_answer(), UpstreamError),
    ],
    ids=[
        "none",
        "interim",
        "half a head",
        "half a body",
        "half of the chunks",
        "not HTTP",
        "of two lengths",
        "two",
        "an interim one with a body",
    ],
)
def test_what_is_not_one_whole_answer_is_none(serve: Serve, answer: bytes, error: type[Exception]) -> None:
    _, transport = serve(answering(answer))
    with pytest.raises(error) as raised:
        transport.send(POST)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("head", "drop", "most"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"long " * 10, 16_000_000),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 16_000_000),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"long " * 1000, 48_000_000),
    ],
    ids=["of one header", "of interim answers", "of a body"],
)
def test_a_flood_is_no_answer(serve: Serve, head: bytes, drop: bytes, most: int) -> None:
    """While bytes come in faster than they are read, nobody else in the process gets a turn."""
    flood = Flood(head, drop)
    host, transport = serve(flood)
    with pytest.raises(UpstreamError):
        transport.send(POST)
    assert host.hung_up.wait(5)
    assert flood.sent < most  # what the buffers on the way hold, and what was read


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", UpstreamUnavailableError),
        (b"HTTP/1.1 200 OK\r\nContent-", UpstreamError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok", UpstreamError),
    ],
    ids=["before an answer", "in a head", "in a body"],
)
def test_a_reset_ends_no_answer(serve: Serve, answer: bytes, error: type[Exception]) -> None:
    """And only one that came before anything else is worth another try."""
    _, transport = serve(resetting_after(answer))
    with pytest.raises(error) as raised:
        transport.send(POST)
    assert type(raised.value) is error


def test_a_reset_does_not_end_a_body_that_ends_with_the_connection(serve_in_the_clear: Serve) -> None:
    """Under TLS it cannot be told from a host that leaves without a word, as many do."""
    _, transport = serve_in_the_clear(resetting_after(b"HTTP/1.1 200 OK\r\n\r\nok"))
    with pytest.raises(UpstreamError):
        transport.send(POST)


def test_an_answer_that_came_before_the_request_was_sent_is_read(serve_in_the_clear: Serve) -> None:
    """TLS 1.3 loses it to the reset behind it."""
    _, transport = serve_in_the_clear(refusing_unread)
    assert transport.send(replace(POST, body=LONG)).status == 413


def test_a_hang_up_while_the_request_is_sent_is_a_connection_error(serve: Serve) -> None:
    """Worth another try, under TLS too, where it looks like a failure of TLS, which would fail again."""
    host, transport = serve(lambda connection: connection.recv(1) and None)
    with pytest.raises(UpstreamUnavailableError):
        transport.send(replace(POST, body=LONG, retryable=True))
    assert host.connections == 2


def test_a_hang_up_in_the_handshake_is_tried_again(serve_in_the_clear: Serve) -> None:
    """As of a balancer that is just starting again: the next try may reach another."""
    host, _ = serve_in_the_clear(lambda connection: connection.recv(65_536) and None)
    with pytest.raises(UpstreamUnavailableError):
        transport_to(host.url.replace("http:", "https:")).send(replace(POST, retryable=True))
    assert host.connections == 2


@pytest.mark.parametrize(("retryable", "attempts"), [(True, 2), (False, 1)])
def test_only_a_request_that_may_be_sent_twice_is_sent_twice(
    serve: Serve, retryable: bool, attempts: int
) -> None:
    host, transport = serve(lambda connection: connection.recv(65_536) and None)
    with pytest.raises(UpstreamUnavailableError):
        transport.send(replace(POST, retryable=retryable))
    assert host.connections == attempts


def test_a_host_with_a_certificate_of_an_unknown_authority_is_not_asked_twice(
    certificate: Certificate,
) -> None:
    with ExitStack() as stack:
        host, _ = Serve(stack, certificate)(answering_for_ever)
        with pytest.raises(UpstreamUnavailableError) as refused:
            transport_to(host.url).send(replace(POST, retryable=True))
    assert refused.value.reason == "SSLCertVerificationError"
    assert host.connections == 1


def test_nobody_there_is_told_as_that() -> None:
    with pytest.raises(UpstreamUnavailableError) as refused:
        transport_to(f"http://127.0.0.1:{free_port()}/v1").send(POST)
    assert refused.value.reason == "ConnectionRefusedError"


@pytest.mark.parametrize("body", [b"{}", LONG], ids=["in the answer", "in the request"])
def test_a_silence_is_a_timeout(serve: Serve, body: bytes) -> None:
    over = threading.Event()
    _, transport = serve(lambda _: over.wait(10) and None, timeout=0.2)
    with pytest.raises(UpstreamTimeoutError):
        transport.send(replace(POST, body=body, retryable=True))
    over.set()


def test_a_request_with_a_bound_of_its_own_may_take_longer_than_others(serve: Serve) -> None:
    """The ending of a call has 15 s, however short ``UPSTREAM_TIMEOUT`` is."""
    late = threading.Event()

    def answer_late(connection: socket.socket) -> None:
        while connection.recv(65_536):
            late.wait(0.3)
            connection.sendall(an_answer())

    _, transport = serve(answer_late, timeout=0.1)
    assert transport.send(POST, seconds=5).body == b"ok"
    with pytest.raises(UpstreamTimeoutError):
        transport.send(POST)
    with pytest.raises(UpstreamTimeoutError):
        transport.send(POST, seconds=0.1)
    late.set()


def test_an_answer_that_drips_is_bounded_as_a_whole(serve: Serve) -> None:
    """Each byte comes in time, and all of them do not."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65_536)
        for byte in an_answer("x" * 1000):
            connection.sendall(bytes([byte]))
            if over.wait(0.02):
                return

    _, transport = serve(drip, timeout=0.3)
    started = time.monotonic()
    with pytest.raises(UpstreamTimeoutError):
        transport.send(POST)
    over.set()
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("body", [b"{}", LONG], ids=["in the answer", "in the request"])
def test_a_connection_whose_answer_never_came_is_not_used_again(serve: Serve, body: bytes) -> None:
    over = threading.Event()

    def silent_at_first(connection: socket.socket) -> None:
        if over.is_set():
            answering_for_ever(connection)
        over.wait(10)

    host, transport = serve(silent_at_first, timeout=1)
    with pytest.raises(UpstreamTimeoutError):
        transport.send(replace(POST, body=body))
    over.set()
    assert texts(transport, 2) == ["ok", "ok"]
    assert host.connections == 2


def test_a_timeout_in_the_handshake_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, without_the_collector():
        transport = transport_to(f"https://127.0.0.1:{silent.getsockname()[1]}/v1", timeout=0.1)
        open_files = []
        for _ in range(4):
            with suppress(UpstreamTimeoutError):
                transport.send(POST)
            open_files.append(len(list(Path("/proc/self/fd").iterdir())))
    assert open_files == [open_files[0]] * 4


def test_the_roots_dot_is_no_part_of_a_certificates_name(certificate: Certificate) -> None:
    with ExitStack() as stack:
        host, _ = Serve(stack, certificate)(answering_for_ever)
        url = host.url.replace("127.0.0.1", "localhost.")
        transport = transport_to(url, Network(ca_bundle=str(certificate.authority)))
        stack.callback(transport.close)
        assert texts(transport, 1) == ["ok"]


def test_nobody_is_given_the_answer_to_another_who_has_gone(serve: Serve) -> None:
    """An interim response ends nothing: the connection is still the first caller's, and ends with that caller."""
    gone = threading.Event()
    answers = iter(("Alice's", "Bob's"))

    def late(connection: socket.socket) -> None:
        while connection.recv(65_536):
            answer = an_answer(next(answers))
            if not gone.is_set():
                connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                gone.wait(10)
            connection.sendall(answer)

    _, transport = serve(late, timeout=1)
    with pytest.raises(UpstreamTimeoutError):
        transport.send(POST)
    gone.set()
    assert texts(transport, 1) == ["Bob's"]


@pytest.mark.parametrize(
    "broken",
    [
        replace(POST, headers={"OpenAI-Project": "proj\r\nX-Other: 1"}),
        replace(POST, headers={"OpenAI-Project": "proj\nX-Other: 1"}),
        replace(POST, headers={"OpenAI-Project\r": "proj"}),
        replace(POST, path="/mints HTTP/1.1\r\nX-Other: 1"),
        replace(POST, path="/mints HTTP/1.1"),
    ],
)
def test_a_line_that_would_end_too_early_is_not_sent(serve_in_the_clear: Serve, broken: Request) -> None:
    """Whatever put it there would otherwise write the rest of the request; and its text stays out of the log."""
    host, transport = serve_in_the_clear(answering(an_answer()))
    with pytest.raises(UpstreamError) as refused:
        transport.send(broken)
    assert refused.value.reason == "ValueError"
    assert host.connections == 0


def test_a_key_in_the_vendors_words_is_redacted(serve_in_the_clear: Serve) -> None:
    said = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 22\r\n\r\nIncorrect key: sk-test"
    _, transport = serve_in_the_clear(answering(said))
    assert transport.send(POST).body == b"Incorrect key: ***"


def test_an_idle_connection_keeps_nothing_of_its_last_answer(serve_in_the_clear: Serve) -> None:
    """It holds a secret, and hundreds of connections may be idle."""
    answer = an_answer("x" * 1_000_000)

    def answer_for_ever(connection: socket.socket) -> None:
        while connection.recv(65_536):
            connection.sendall(answer)

    host, transport = serve_in_the_clear(answer_for_ever)
    tracemalloc.start()
    try:
        assert len(transport.send(POST).body) == 1_000_000
        left, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert host.connections == 1
    assert most > 1_000_000
    assert left < 500_000


def test_a_closed_connection_is_freed_at_once() -> None:
    """A busy process opens and closes them faster than the collector would look for them.

    Each holds some 12 KB until then. What other threads of this process allocate meanwhile is measured with it.
    """
    kept = KeptConnections("http://127.0.0.1:9")
    with without_the_collector(), traced_memory() as memory:
        for _ in range(1000):
            with pytest.raises(ConnectionRefusedError):
                kept.exchange(POST, {}, seconds=5)
    assert memory.most < 2_000_000


def test_a_connection_has_so_many_uses_at_most(serve: Serve) -> None:
    host, transport = serve(answering_for_ever)
    assert texts(transport, 2 * MAX_USES + 1) == ["ok"] * (2 * MAX_USES + 1)
    assert host.connections == 3


def test_a_connection_has_an_age_at_most(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a NAT or a balancer on the way has forgotten by then."""
    now = time.monotonic()
    monkeypatch.setattr(connections, "monotonic", lambda: now)
    host, transport = serve(answering_for_ever)
    assert texts(transport, 2) == ["ok", "ok"]
    now += MAX_SECONDS
    assert texts(transport, 2) == ["ok", "ok"]
    assert host.connections == 2


def test_connections_of_a_burst_do_not_stay_until_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for one that is young enough, the next request closes all that are not."""
    now = time.monotonic()
    monkeypatch.setattr(connections, "monotonic", lambda: now)
    with holding_vendor() as vendor, ThreadPoolExecutor(5) as pool:
        transport = transport_to(vendor.base_url)
        burst = [pool.submit(transport.send, POST) for _ in range(5)]
        wait_until(lambda: vendor.holding == 5, seconds=5, what="a burst")
        vendor.release()
        assert [answer.result().status for answer in burst] == [200] * 5
        assert len(timers_of_connections(vendor.port)) == 5
        now += MAX_SECONDS
        assert transport.send(POST).status == 200
        assert len(timers_of_connections(vendor.port)) == 1
        transport.close()


def timers_of_connections(port: int) -> list[str]:
    """List what timer Linux has running for each of this process's connections to a port (``/proc/net/tcp``)."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    established = [row for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"]
    return [row[5].partition(":")[0] for row in established]


def test_the_system_asks_an_idle_connection_whether_it_lives(serve: Serve) -> None:
    """Linux tells so: the timer that is set for it is the one of keepalives."""
    host, transport = serve(answering_for_ever)
    assert texts(transport, 1) == ["ok"]
    assert timers_of_connections(host.port) == ["02"]


def test_an_answer_that_cannot_be_the_requests_closes_its_connection(serve: Serve) -> None:
    """The next one goes over another, on which nothing is left behind."""
    host, transport = serve(answering_for_ever)
    assert texts(transport, 2) == ["ok", "ok"]

    def refuse(response: Response) -> None:
        assert response.body == b"ok"
        raise UpstreamError("another request's")

    with pytest.raises(UpstreamError, match="another request's"):
        transport.send(replace(POST, retryable=True), check=refuse)
    assert texts(transport, 2) == ["ok", "ok"]
    assert host.connections == 2


@dataclass
class OnceTooOften:
    """Tells each request its own number, after ``takes`` seconds; and one of them once more, ``late`` seconds after."""

    takes: float
    late: float
    twice: int
    requests: int = 0

    def __call__(self, connection: socket.socket) -> None:
        while request := connection.recv(65_536):
            own = request.rpartition(b"\r\n\r\n")[2].decode()
            self.requests += 1
            time.sleep(self.takes)
            connection.sendall(an_answer(own))
            if self.requests == self.twice:
                threading.Timer(self.late, self._again, [connection, own]).start()

    @staticmethod
    def _again(connection: socket.socket, own: str) -> None:
        with suppress(OSError):
            connection.sendall(an_answer(f"{own} again"))


def answering_after(waits: Iterator[float]) -> Handling:
    """Tell each request its own number, after these seconds."""

    def answer(connection: socket.socket) -> None:
        while request := connection.recv(65_536):
            time.sleep(next(waits))
            connection.sendall(an_answer(request.rpartition(b"\r\n\r\n")[2].decode()))

    return answer


def strangers_answers(transport: Transport, times: int, *, pause: float = 0) -> list[int]:
    """Send numbers one after the other; list those whose answer was another's."""
    wrong = []
    for number in range(times):
        sent = replace(POST, body=b"%d" % number)
        if transport.send(sent, check=lambda _: None).body.decode() != str(number):
            wrong.append(number)
        time.sleep(pause)
    return wrong


def test_an_answer_too_many_is_nobodys_where_it_comes_before_the_next_request(serve: Serve) -> None:
    """One after a millisecond: before, each of the 54 who followed got the answer to the one before."""
    _, transport = serve(OnceTooOften(takes=0, late=0.001, twice=3))
    assert strangers_answers(transport, 57, pause=0.02) == []


@pytest.mark.alone
def test_an_answer_too_many_that_comes_in_the_next_request_reaches_few(serve: Serve) -> None:
    """It cannot be told from that request's own, but came sooner than is usual: the connection ends with it.

    Whoever asks next may be given the one before, where they were as late; nobody after them is.
    """
    hosts = [serve(OnceTooOften(takes=0.1, late=late, twice=5)) for late in (0.02, 0.05, 0.08)]
    with ThreadPoolExecutor(len(hosts)) as pool:
        for wrong in pool.map(lambda host: strangers_answers(host[1], 12), hosts):
            assert wrong in ([], [5], [5, 6])  # none where this machine was slower than the answer too many


@pytest.mark.alone
def test_waits_that_differ_as_those_of_a_busy_process_close_no_connection(serve: Serve) -> None:
    """A connection closed for each of the shorter ones costs a busy process a sixth of its time in new ones."""
    host, transport = serve(answering_after(cycle((0.06, 0.16, 0.15, 0.17, 0.14, 0.16, 0.15))))
    assert strangers_answers(transport, 22) == []
    assert host.connections == 1


@pytest.mark.alone
def test_a_host_that_has_become_faster_keeps_its_connections_soon(serve: Serve) -> None:
    """Four times as fast closes some connections, until that is what is usual."""
    host, transport = serve(answering_after(chain((0.24, 0.24), repeat(0.06))))
    assert strangers_answers(transport, 20) == []
    assert 2 <= host.connections <= 8


@pytest.mark.alone
def test_a_host_that_is_just_fast_keeps_its_connections(serve: Serve) -> None:
    """What differs by less than a machine's own pauses tells nothing."""
    host, transport = serve(OnceTooOften(takes=0, late=0, twice=-1))
    assert strangers_answers(transport, 30) == []
    assert host.connections == 1


def test_a_certificate_with_a_common_name_alone_is_refused(tmp_path: Path) -> None:
    """Names are those of its subjectAltName (RFC 9525 §2), and no authority checks the other."""
    require("openssl")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    options = ["-subj", "/CN=localhost", "-addext", "basicConstraints=critical,CA:TRUE"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        *options,
    ]
    subprocess.run([*command, "-keyout", key, "-out", chain], check=True, capture_output=True)
    with ExitStack() as stack:
        host, _ = Serve(stack, Certificate(authority=chain, chain=chain, key=key))(answering_for_ever)
        transport = transport_to(host.url.replace("127.0.0.1", "localhost"), Network(ca_bundle=str(chain)))
        with pytest.raises(UpstreamUnavailableError) as refused:
            transport.send(POST)
    assert refused.value.reason == "SSLCertVerificationError"


@pytest.mark.parametrize("body", ["Here is sk-test.", r'{"value": "sk-test"}'])
def test_our_key_in_an_answer_that_would_be_passed_on_is_an_alarm(
    serve_in_the_clear: Serve, body: str
) -> None:
    _, transport = serve_in_the_clear(answering(an_answer(body)))
    with pytest.raises(LeakedKeyError) as refused:
        transport.send(POST)
    assert refused.value.alarm
    assert (refused.value.status, refused.value.code) == (502, "upstream_error")
    assert "sk-test" not in f"{refused.value.body}{refused.value.reason}"


@pytest.mark.parametrize("body", [b"v=0", b""], ids=["in its body", "before its body"])
def test_of_an_answer_that_breaks_off_its_head_is_known(serve_in_the_clear: Serve, body: bytes) -> None:
    """It may name what was opened."""
    head = b"HTTP/1.1 201 Created\r\nLocation: /v1/calls/1\r\nContent-Length: 100\r\n\r\n"
    _, transport = serve_in_the_clear(answering(head + body))
    progress = Progress()
    with pytest.raises(UpstreamError):
        transport.send(POST, progress=progress)
    assert progress.head is not None
    assert (progress.head.status, progress.head.headers["location"]) == (201, "/v1/calls/1")


def test_of_an_answer_whose_head_breaks_off_nothing_is_known(serve_in_the_clear: Serve) -> None:
    _, transport = serve_in_the_clear(answering(b"HTTP/1.1 201 Created\r\nLocation: /v1/cal"))
    progress = Progress()
    with pytest.raises(UpstreamError):
        transport.send(POST, progress=progress)
    assert (progress.sent, progress.head) == (True, None)
