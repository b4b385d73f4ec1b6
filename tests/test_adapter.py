"""Connections are kept, what happens to them meanwhile is noticed, and each failure is told as requests tells it."""

from __future__ import annotations

import gc
import os
import resource
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from requests.exceptions import ChunkedEncodingError, InvalidHeader, ReadTimeout
from requests.exceptions import ConnectionError as RequestsConnectionError

from service.core.deadline import DeadlineExceededError, deadline
from service.sandbox.tls import Certificate, write_certificate
from service.vendors import adapter
from service.vendors.outbound import Network
from tests.support.processes import free_port

LONG = bytes(20_000_000)
"""A body that no buffer between client and server holds whole."""

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
    """Starts hosts, in the clear or under TLS, each with a session as the mint has one."""

    def __init__(self, stack: ExitStack, certificate: Certificate | None) -> None:
        self._stack = stack
        self._network = Network(ca_bundle=str(certificate.authority) if certificate else None)
        self._encryption = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
        if self._encryption and certificate:
            self._encryption.load_cert_chain(certificate.chain, certificate.key)

    def __call__(self, handle: Handling, *, connections: int = 10) -> tuple[Host, requests.Session]:
        host = self._stack.enter_context(running_host(handle, encryption=self._encryption))
        session = self._network.busy_session(host.url, connections=connections)
        return host, self._stack.enter_context(session)


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
    host, session = serve(answering_for_ever)
    assert [session.post(host.url, data=b"{}").text for _ in range(3)] == ["ok"] * 3
    assert host.connections == 1


@pytest.mark.usefixtures("many_open_files")
def test_a_connection_is_used_again_where_many_are_open(serve: Serve) -> None:
    """The system's ``select`` knows no file beyond the 1,024th, and 500 mints in flight hold more."""
    host, session = serve(answering_for_ever)
    assert [session.post(host.url, data=b"{}").text for _ in range(3)] == ["ok"] * 3
    assert host.connections == 1


def test_a_connection_that_was_closed_while_idle_is_not_used_again(serve: Serve) -> None:
    """The second request goes over a fresh connection at once, and needs no retry."""
    host, session = serve(answering(an_answer()))
    for _ in range(2):
        host.hung_up.clear()
        assert session.post(host.url, data=b"{}").text == "ok"
        assert host.hung_up.wait(5)
    assert host.connections == 2


def test_a_connection_that_is_to_be_closed_is_not_used_again(serve: Serve) -> None:
    def answer_once(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        connection.recv(65_536)

    host, session = serve(answer_once)
    assert [session.post(host.url, data=b"{}").text for _ in range(2)] == ["ok", "ok"]
    assert host.connections == 2


def test_the_request_names_the_host_and_asks_for_plain_bytes(serve: Serve) -> None:
    """Of codings the adapter undoes none."""
    received: list[bytes] = []

    def remember(connection: socket.socket) -> None:
        received.append(connection.recv(65_536))
        connection.sendall(an_answer())

    host, session = serve(remember)
    request = requests.PreparedRequest()
    request.prepare_method("POST")
    request.prepare_url(f"{host.url}/mints?a=b", {})
    request.prepare_headers({"X-One": "1"})
    request.prepare_body(b'{"a": 1}', None)
    session.get_adapter(host.url).send(request)
    assert received == [
        f"POST /v1/mints?a=b HTTP/1.1\r\nHost: 127.0.0.1:{host.port}\r\nAccept-Encoding: identity\r\n"
        'X-One: 1\r\nContent-Length: 8\r\n\r\n{"a": 1}'.encode()
    ]


def test_nothing_that_was_written_waits_for_a_receipt(serve_in_the_clear: Serve) -> None:
    host, _ = serve_in_the_clear(answering_for_ever)
    pool = adapter.Pool("127.0.0.1", host.port, "127.0.0.1", host.port)
    with pool.get_socket() as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + an_answer(),
        b"HTTP/1.1 104 Strange\r\nContent-Length: 2\r\n\r\nxx" + an_answer(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["after an interim one", "after one with a body", "in chunks", "until the end", "of HTTP/1.0"],
)
def test_each_form_of_an_answer_is_read(serve: Serve, answer: bytes) -> None:
    host, session = serve(answering(answer))
    response = session.post(host.url, data=b"{}")
    assert (response.status_code, response.content) == (200, b"ok")


def test_an_answer_that_comes_bit_by_bit_is_read_whole(serve: Serve) -> None:
    host, session = serve(answering_bit_by_bit)
    assert [session.post(host.url, data=b"{}").text for _ in range(2)] == ["ok", "ok"]
    assert host.connections == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", RequestsConnectionError),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", ChunkedEncodingError),
        (b"HTTP/1.1 200 OK\r\nContent-", ChunkedEncodingError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok", ChunkedEncodingError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", ChunkedEncodingError),
        (b"220 smtp.example\r\n", ChunkedEncodingError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", ChunkedEncodingError),
        (an_answer() + an_answer("too much"), ChunkedEncodingError),
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
    ],
)
def test_what_is_not_one_whole_answer_is_none(serve: Serve, answer: bytes, error: type[Exception]) -> None:
    host, session = serve(answering(answer))
    with pytest.raises(error) as raised:
        session.post(host.url, data=b"{}")
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
    host, session = serve(flood)
    with pytest.raises(ChunkedEncodingError, match="longer than"):
        session.post(host.url, data=b"{}")
    assert host.hung_up.wait(5)
    assert flood.sent < most  # what the buffers on the way hold, and what was read


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", RequestsConnectionError),
        (b"HTTP/1.1 200 OK\r\nContent-", ChunkedEncodingError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok", ChunkedEncodingError),
    ],
    ids=["before an answer", "in a head", "in a body"],
)
def test_a_reset_ends_no_answer(serve: Serve, answer: bytes, error: type[Exception]) -> None:
    """And only one that came before anything else is worth another try."""
    host, session = serve(resetting_after(answer))
    with pytest.raises(error) as raised:
        session.post(host.url, data=b"{}")
    assert type(raised.value) is error


def test_a_reset_does_not_end_a_body_that_ends_with_the_connection(serve_in_the_clear: Serve) -> None:
    """Under TLS it cannot be told from a host that leaves without a word, as many do."""
    host, session = serve_in_the_clear(resetting_after(b"HTTP/1.1 200 OK\r\n\r\nok"))
    with pytest.raises(ChunkedEncodingError):
        session.post(host.url, data=b"{}")


def test_an_answer_that_came_before_the_request_was_sent_is_read(serve_in_the_clear: Serve) -> None:
    """TLS 1.3 loses it to the reset behind it."""
    host, session = serve_in_the_clear(refusing_unread)
    assert session.post(host.url, data=LONG).status_code == 413


def test_a_hang_up_while_the_request_is_sent_is_a_connection_error(serve: Serve) -> None:
    """Under TLS too, where it looks like a failure of TLS, which would fail again."""
    host, session = serve(lambda connection: connection.recv(1) and None)
    with pytest.raises(RequestsConnectionError) as raised:
        session.post(host.url, data=LONG)
    assert type(raised.value) is RequestsConnectionError


def test_a_hang_up_in_the_handshake_is_a_connection_error(serve_in_the_clear: Serve) -> None:
    """As of a balancer that is just starting again: the next try may reach another."""
    host, _ = serve_in_the_clear(lambda connection: connection.recv(65_536) and None)
    url = host.url.replace("http:", "https:")
    with (
        Network().busy_session(url, connections=1) as session,
        pytest.raises(RequestsConnectionError) as raised,
    ):
        session.post(url, data=b"{}")
    assert type(raised.value) is RequestsConnectionError


def test_nobody_there_is_a_connection_error() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    session = Network().busy_session(url, connections=1)
    with session, pytest.raises(RequestsConnectionError):
        session.post(url, data=b"{}")


@pytest.mark.parametrize("body", [b"{}", LONG], ids=["in the answer", "in the request"])
def test_a_silence_is_a_timeout(serve: Serve, body: bytes) -> None:
    over = threading.Event()
    host, session = serve(lambda _: over.wait(10) and None)
    with pytest.raises(ReadTimeout):
        session.post(host.url, data=body, timeout=0.1)
    over.set()


@pytest.mark.parametrize("body", [b"{}", LONG], ids=["in the answer", "in the request"])
def test_a_deadline_that_passes_gives_the_connections_place_back(serve: Serve, body: bytes) -> None:
    """Or the pool would be empty one day, and every mint after that wait for ever."""
    over = threading.Event()

    def silent_at_first(connection: socket.socket) -> None:
        if over.is_set():
            answering_for_ever(connection)
        over.wait(10)

    host, session = serve(silent_at_first, connections=1)
    with pytest.raises(DeadlineExceededError), deadline(0.1):
        session.post(host.url, data=body)
    over.set()
    with deadline(5):
        assert session.post(host.url, data=b"{}").text == "ok"


def test_a_deadline_in_the_handshake_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, without_the_collector():
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/v1"
        with Network().busy_session(url, connections=1) as session:
            open_files = []
            for _ in range(4):
                with suppress(DeadlineExceededError), deadline(0.05):
                    session.post(url, data=b"{}")
                open_files.append(len(list(Path("/proc/self/fd").iterdir())))
    assert open_files == [open_files[0]] * 4


def test_the_roots_dot_is_no_part_of_a_certificates_name(certificate: Certificate) -> None:
    with ExitStack() as stack:
        host, _ = Serve(stack, certificate)(answering_for_ever)
        url = host.url.replace("127.0.0.1", "localhost.")
        with Network(ca_bundle=str(certificate.authority)).busy_session(url, connections=1) as session:
            assert session.post(url, data=b"{}").text == "ok"


def test_nobody_is_given_the_answer_to_another_who_has_gone(serve: Serve) -> None:
    """An interim answer ends nothing: the connection is still the first caller's, and ends with his patience."""
    gone = threading.Event()
    answers = iter(("Alice's", "Bob's"))

    def late(connection: socket.socket) -> None:
        while connection.recv(65_536):
            answer = an_answer(next(answers))
            if not gone.is_set():
                connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                gone.wait(10)
            connection.sendall(answer)

    host, session = serve(late)
    with pytest.raises(DeadlineExceededError), deadline(0.2):
        session.post(host.url, data=b"{}")
    gone.set()
    assert session.post(host.url, data=b"{}").text == "Bob's"


def test_a_header_with_a_line_break_is_not_sent(serve_in_the_clear: Serve) -> None:
    """Whatever put it there would otherwise write the rest of the request."""
    host, session = serve_in_the_clear(answering(an_answer()))
    request = session.prepare_request(requests.Request("POST", host.url))
    request.headers["OpenAI-Project"] = "proj\r\nX-Other: 1"
    with pytest.raises(InvalidHeader):
        session.get_adapter(host.url).send(request)
    assert host.connections == 0
