"""Connections are kept, what happens to them meanwhile is noticed, and each failure is told as requests tells it."""

from __future__ import annotations

import os
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
import requests

from service import adapter
from service.outbound import DeadlineExceededError, Network, deadline
from tests.support.processes import free_port

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Handling = Callable[[socket.socket], None]


def answering(answer: bytes) -> Handling:
    """Answer the first request on a connection, and hang up."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    return handle


def answering_for_ever(connection: socket.socket) -> None:
    """Answer each request, as long as there are some."""
    while connection.recv(65_536):
        connection.sendall(ANSWER)


def resetting_in_mid_answer(connection: socket.socket) -> None:
    """Send half an answer, and a reset once it has arrived."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def answering_unread(connection: socket.socket) -> None:
    """Refuse a long body before it is there, and hang up on the rest of it."""
    connection.recv(1)
    connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")


@dataclass
class Host:
    """A server of bytes, and the connections it was sent."""

    listener: socket.socket
    handle: Handling
    connections: int = 0
    hung_up: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"

    def serve(self) -> None:
        """Handle one connection after the other, until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection, suppress(OSError):
                self.handle(connection)
            self.hung_up.set()


@contextmanager
def running_host(handle: Handling) -> Iterator[Host]:
    """Serve on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = Host(listener, handle)
        thread = threading.Thread(target=host.serve, daemon=True)
        thread.start()
        yield host
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@contextmanager
def session_for(url: str, *, connections: int = 10) -> Iterator[requests.Session]:
    """Open a session as the mint does."""
    with Network().busy_session(url, connections=connections) as session:
        yield session


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


def test_a_connection_is_used_again() -> None:
    with running_host(answering_for_ever) as host, session_for(host.url) as session:
        assert [session.post(host.url, data=b"{}").text for _ in range(3)] == ["ok"] * 3
        assert host.connections == 1


@pytest.mark.usefixtures("many_open_files")
def test_a_connection_is_used_again_where_many_are_open() -> None:
    """The system's ``select`` knows no file beyond the 1,024th, and 500 mints in flight hold more."""
    with running_host(answering_for_ever) as host, session_for(host.url) as session:
        assert [session.post(host.url, data=b"{}").text for _ in range(3)] == ["ok"] * 3
        assert host.connections == 1


def test_a_connection_that_was_closed_while_idle_is_not_used_again() -> None:
    """The second request goes over a fresh connection at once, and needs no retry."""
    with running_host(answering(ANSWER)) as host, session_for(host.url) as session:
        for _ in range(2):
            host.hung_up.clear()
            assert session.post(host.url, data=b"{}").text == "ok"
            assert host.hung_up.wait(5)
        assert host.connections == 2


def test_the_request_names_the_host_and_asks_for_plain_bytes() -> None:
    """Of codings the adapter undoes none."""
    received: list[bytes] = []

    def remember(connection: socket.socket) -> None:
        received.append(connection.recv(65_536))
        connection.sendall(ANSWER)

    with running_host(remember) as host, session_for(host.url) as session:
        request = requests.PreparedRequest()
        request.prepare_method("POST")
        request.prepare_url(f"{host.url}/mints?a=b", {})
        request.prepare_headers({"X-One": "1"})
        request.prepare_body(b'{"a": 1}', None)
        session.get_adapter(host.url).send(request)
        authority = host.url.removeprefix("http://").removesuffix("/v1")
    head = f"POST /v1/mints?a=b HTTP/1.1\r\nHost: {authority}\r\nAccept-Encoding: identity\r\nX-One: 1\r\n"
    assert received == [f'{head}Content-Length: 8\r\n\r\n{{"a": 1}}'.encode()]


def test_nothing_that_was_written_waits_for_a_receipt() -> None:
    with running_host(answering_for_ever) as host:
        port = host.listener.getsockname()[1]
        pool = adapter.Pool("127.0.0.1", port, "127.0.0.1", port)
        with pool.get_socket() as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ANSWER,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["after an interim one", "in chunks", "until the end", "of HTTP/1.0"],
)
def test_each_form_of_an_answer_is_read(answer: bytes) -> None:
    with running_host(answering(answer)) as host, session_for(host.url) as session:
        response = session.post(host.url, data=b"{}")
        assert (response.status_code, response.content) == (200, b"ok")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", requests.exceptions.ConnectionError),
        (b"HTTP/1.1 200 OK\r\nContent-", requests.exceptions.ChunkedEncodingError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok", requests.exceptions.ChunkedEncodingError),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n",
            requests.exceptions.ChunkedEncodingError,
        ),
        (b"220 smtp.example\r\n", requests.exceptions.ChunkedEncodingError),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
            requests.exceptions.ChunkedEncodingError,
        ),
    ],
    ids=["none", "half a head", "half a body", "half of the chunks", "not HTTP", "of two lengths"],
)
def test_half_an_answer_is_none(answer: bytes, error: type[Exception]) -> None:
    with running_host(answering(answer)) as host, session_for(host.url) as session:
        with pytest.raises(error) as raised:
            session.post(host.url, data=b"{}")
        assert type(raised.value) is error


def test_a_reset_in_mid_answer_is_no_answer() -> None:
    broken_off = pytest.raises(requests.exceptions.ChunkedEncodingError)
    with running_host(resetting_in_mid_answer) as host, session_for(host.url) as session, broken_off:
        session.post(host.url, data=b"{}")


def test_an_answer_that_came_before_the_request_was_sent_is_read() -> None:
    with running_host(answering_unread) as host, session_for(host.url) as session:
        assert session.post(host.url, data=bytes(20_000_000)).status_code == 413


def test_nobody_there_is_a_connection_error() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with session_for(url) as session, pytest.raises(requests.exceptions.ConnectionError):
        session.post(url, data=b"{}")


@pytest.mark.parametrize("body", [b"{}", bytes(20_000_000)], ids=["in the answer", "in the request"])
def test_a_silence_is_a_timeout(body: bytes) -> None:
    over = threading.Event()
    with running_host(lambda _: over.wait(10) and None) as host, session_for(host.url) as session:
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.post(host.url, data=body, timeout=0.1)
        over.set()


@pytest.mark.parametrize("body", [b"{}", bytes(20_000_000)], ids=["in the answer", "in the request"])
def test_a_deadline_that_passes_gives_the_connections_place_back(body: bytes) -> None:
    """Or the pool would be empty one day, and every mint after that wait for ever."""
    silent = threading.Event()

    def silent_at_first(connection: socket.socket) -> None:
        if not silent.is_set():
            silent.wait(10)
        else:
            answering_for_ever(connection)

    with running_host(silent_at_first) as host, session_for(host.url, connections=1) as session:
        with pytest.raises(DeadlineExceededError), deadline(0.1):
            session.post(host.url, data=body)
        silent.set()
        with deadline(5):
            assert session.post(host.url, data=b"{}").text == "ok"


def test_a_header_with_a_line_break_is_not_sent() -> None:
    """Whatever put it there would otherwise write the rest of the request."""
    with running_host(answering(ANSWER)) as host, session_for(host.url) as session:
        request = session.prepare_request(requests.Request("POST", host.url))
        request.headers["OpenAI-Project"] = "proj\r\nX-Other: 1"
        with pytest.raises(requests.exceptions.InvalidHeader):
            session.get_adapter(host.url).send(request)
