"""gunicorn's worker, as a client meets it over its own socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import gevent.socket
import pytest
import requests

from service.core.origins import EXPOSED_HEADERS
from service.serving import connection
from service.serving.refusal import HEAD_BYTES, MAX_TOKEN_BYTES
from tests.support.holding_vendor import holding_vendor
from tests.support.processes import wait_until
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.tokens import sign

ORIGIN = "https://app.example.com"
POST = "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
PROBE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """What came back, and whether the connection was closed after it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


class Client:
    """A connection on which a test sends what it likes."""

    def __init__(self, service: TokenService) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port_of(service)), timeout=10)

    def send(self, text: str | bytes) -> None:
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def answer(self) -> Answer:
        response = HTTPResponse(self.socket)
        response.begin()
        return Answer(response.status, dict(response.headers), response.read())

    def ask(self, text: str | bytes) -> Answer:
        self.send(text)
        return self.answer()

    def is_closed(self) -> bool:
        return self.socket.recv(1) == b""

    def close(self) -> None:
        self.socket.close()


def port_of(service: TokenService) -> int:
    return int(service.url.rpartition(":")[2])


def worker_of(service: TokenService) -> int:
    """Find the one process that serves."""
    master = service.run.pid
    return int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


@pytest.fixture(scope="module")
def with_origin(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service whose browser app comes from one origin."""
    with running_service(sandbox.base_url, ALLOWED_ORIGINS=ORIGIN) as service:
        yield service


@pytest.fixture
def client(with_origin: TokenService) -> Iterator[Client]:
    with closing(Client(with_origin)) as client:
        yield client


def head(*lines: str, method: str = "GET", target: str = "/healthz") -> str:
    """Write a request's head, as a browser app of the allowed origin sends it."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", f"Origin: {ORIGIN}", *lines, "", ""])


UNPARSABLE = {
    "no HTTP": ("hello\r\n\r\n", 400, "bad_request"),
    "a bare line feed": ("GET /healthz HTTP/1.1\nHost: x\n\n", 400, "bad_request"),
    "a bad field": (head("Bad Field: x"), 400, "bad_request"),
    "two lengths": (head("Content-Length: 1", "Content-Length: 2", method="POST"), 400, "bad_request"),
    "a long URL": (head(target="/" + "x" * 5_000), 414, "request_uri_too_long"),
    "a large field": (head("X-Large: " + "x" * 20_000), 431, "request_header_fields_too_large"),
    "many fields": (head(*["X-Field: x"] * 200), 431, "request_header_fields_too_large"),
    "an endless head": (
        head(*["X-Field: " + "x" * 8_000] * 9).removesuffix("\r\n"),
        431,
        "request_header_fields_too_large",
    ),
    "an unknown coding": (head("Transfer-Encoding: magic", method="POST"), 501, "not_implemented"),
}


@pytest.mark.parametrize("name", UNPARSABLE)
def test_an_answer_of_the_server_itself_keeps_the_contract(client: Client, name: str) -> None:
    """The error's shape, no caching, no sniffing, a request id; and it says that the connection closes."""
    request, status, code = UNPARSABLE[name]

    answer = client.ask(request)

    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["param"] is None
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Vary"] == "Origin"
    assert len(answer.headers["X-Request-Id"]) == 32
    assert answer.headers["Connection"] == "close"
    assert client.is_closed()


@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.example.com", ORIGIN.upper(), None])
def test_such_an_answer_can_be_read_by_the_allowed_origin_only(client: Client, origin: str | None) -> None:
    lines = [f"Origin: {origin}"] if origin else []

    answer = client.ask(
        "\r\n".join(["GET / HTTP/1.1", "Host: x", *lines, "X-Large: " + "x" * 20_000, "", ""])
    )

    allowed, exposed = origin == ORIGIN, answer.headers.get("Access-Control-Expose-Headers")
    assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    assert exposed == (", ".join(EXPOSED_HEADERS) if allowed else None)


def test_such_an_answer_repeats_the_request_id_that_a_router_gave(client: Client) -> None:
    assert client.ask(head("X-Request-Id: given-1", "Bad Field: x")).headers["X-Request-Id"] == "given-1"


def test_a_token_over_16_kb_is_told_as_too_large_and_not_to_sign_in_again(client: Client) -> None:
    token = "x" * (MAX_TOKEN_BYTES + 1)

    answer = client.ask(head(f"Authorization: Bearer {token}", method="POST", target="/token"))

    assert (answer.status, answer.error["code"]) == (431, "request_header_fields_too_large")
    assert "access token is too large" in answer.error["message"]
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_a_token_of_16_kb_reaches_the_app(client: Client) -> None:
    """Which may refuse it, but in its own words."""
    token = "x" * MAX_TOKEN_BYTES

    assert client.ask(head(f"Authorization: Bearer {token}", method="POST", target="/token")).status == 401


def test_a_head_that_comes_in_pieces_is_read_as_one(client: Client) -> None:
    for byte in PROBE:
        client.send(bytes([byte]))

    assert client.answer().status == 200


def test_a_head_under_the_cap_may_be_long(client: Client) -> None:
    fields = ["X-Field: " + "x" * 1_000] * (HEAD_BYTES // 1_100)

    assert client.ask(head(*fields)).status == 200


def test_an_answer_of_the_app_that_cannot_be_sent_is_a_500_in_json(sandbox: Sandbox) -> None:
    """What was wrong with it is in the log, under the same request id."""
    with (
        running_service(sandbox.base_url, app="tests.operations.broken_app:app") as service,
        closing(Client(service)) as client,
    ):
        answer = client.ask("GET /unsendable HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (answer.status, answer.error["code"]) == (500, "internal_error")
        assert answer.error["type"] == "server_error"
        errors = [line for line in service.run.output.splitlines() if '"level":"error"' in line]
    assert any(answer.headers["X-Request-Id"] in line for line in errors)


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/token", "/static/realtime.js"])
def test_no_answer_may_be_sniffed(with_origin: TokenService, path: str) -> None:
    assert with_origin.get(path).headers["X-Content-Type-Options"] == "nosniff"


def test_what_is_logged_of_a_connection_names_its_own_request(
    with_origin: TokenService, client: Client
) -> None:
    """The one before it on the same connection is over."""
    assert client.ask(head("X-Request-Id: the-first")).status == 200
    refused = client.ask("hello\r\n\r\n").headers["X-Request-Id"]
    lines = [json.loads(line) for line in with_origin.run.output.splitlines()]

    assert [line["event"] for line in lines if line.get("request_id") == refused] == [
        "Refused a malformed request: InvalidRequestLine"
    ]


@pytest.mark.parametrize("length", [2, 60_000])
def test_a_short_body_that_nobody_read_leaves_the_connection_usable(client: Client, length: int) -> None:
    """Such as that of a request without a token: its client may try again at once."""
    refused = client.ask(f"{POST}Content-Length: {length}\r\n\r\n" + "x" * length)
    again = client.ask(PROBE)

    assert (refused.status, refused.headers["Connection"]) == (401, "keep-alive")
    assert again.status == 200


def test_a_chunked_body_that_was_read_leaves_the_connection_usable(client: Client) -> None:
    chunked = (
        f"{POST}Authorization: Bearer {sign()}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    )

    assert [client.ask(request).status for request in (chunked, PROBE, chunked, PROBE)] == [200] * 4


@pytest.mark.parametrize("beginning", ["GET /he", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r", "\r\n"])
def test_a_request_that_begins_in_the_last_piece_of_a_chunked_body_is_answered(
    client: Client, beginning: str
) -> None:
    """The parser has its first bytes before the rest is there."""
    probe = PROBE.decode()
    if beginning == "\r\n":
        probe = beginning + probe
    chunked = (
        f"{POST}Authorization: Bearer {sign()}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    )

    client.send(chunked + beginning)
    assert client.answer().status == 200
    client.send(probe[len(beginning) :])
    assert client.answer().status == 200


@pytest.mark.parametrize(
    "body",
    ["Content-Length: 65537\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"],
    ids=["long", "chunked"],
)
def test_a_body_whose_end_is_far_closes_the_connection_and_the_answer_says_so(
    client: Client, body: str
) -> None:
    answer = client.ask(POST + body)

    assert (answer.status, answer.headers["Connection"]) == (401, "close")
    assert client.is_closed()


def test_the_head_and_the_body_of_an_answer_are_sent_together() -> None:
    ours, theirs = gevent.socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps what is sent apart
    with closing(ours), closing(theirs):
        answering = connection.Connection(ours)
        answering.expect_body(None, chunked=False, max_bytes=0)
        for part in (b"head", b"body", b"more"):
            answering.sendall(part)

        assert [theirs.recv(100), theirs.recv(100)] == [b"headbody", b"more"]


def test_an_answer_without_a_body_is_sent_at_once(client: Client) -> None:
    client.send(PROBE.replace(b"GET", b"HEAD"))
    head = client.socket.recv(65_536)
    client.send(PROBE)

    assert head.startswith(b"HTTP/1.1 200 ")
    assert head.endswith(b"\r\n\r\n")
    assert client.answer().status == 200


def test_an_answer_without_a_body_is_sent_before_its_connection_closes(client: Client) -> None:
    client.send(head("Connection: close", method="HEAD"))

    assert client.socket.recv(65_536).startswith(b"HTTP/1.1 200 ")
    assert client.is_closed()


def test_a_client_that_waits_for_100_continue_gets_it_before_it_sends_its_body(client: Client) -> None:
    client.send(POST + f"Authorization: Bearer {sign()}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    interim = client.socket.recv(65_536)
    client.send("{}")

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"  # RFC 9110 §10.1.1
    assert client.answer().status == 200


def test_a_client_that_asks_without_a_pause_takes_turns_with_the_others(with_origin: TokenService) -> None:
    """Its two thousand requests are there at once; somebody who comes later does not wait for them."""
    count = 2_000
    answered = 0

    def read() -> None:
        nonlocal answered
        rest = b""
        while answered < count and (piece := busy.socket.recv(65_536)):
            answered += (rest + piece).count(b"HTTP/1.1 200") - rest.count(b"HTTP/1.1 200")
            rest = piece[-11:]

    with closing(Client(with_origin)) as busy, closing(Client(with_origin)) as other:
        assert other.ask(PROBE).status == 200
        reader = threading.Thread(target=read)
        reader.start()
        busy.send(PROBE * count)
        wait_until(lambda: answered > 0, seconds=10, what="the first answer")
        assert other.ask(PROBE).status == 200
        before_the_other = answered
        reader.join(30)
    assert answered == count
    assert before_the_other < count / 2


def test_idle_connections_do_not_count_as_requests_in_flight(sandbox: Sandbox) -> None:
    """Who asks next has a place; the connection that has been idle longest is closed for it."""
    with running_service(sandbox.base_url, WEB_CONNECTIONS="8") as service, ExitStack() as stack:
        idle = [stack.enter_context(closing(Client(service))) for _ in range(7)]
        assert [client.ask(PROBE).status for client in idle] == [200] * 7
        newcomers = [stack.enter_context(closing(Client(service))) for _ in range(7)]
        assert [client.ask(PROBE).status for client in newcomers] == [200] * 7
        assert [client.is_closed() for client in idle[:6]] == [True] * 6


def test_requests_in_flight_keep_their_places(sandbox: Sandbox) -> None:
    """Their connections wait for the vendor, not for their clients."""
    del sandbox
    with holding_vendor() as vendor, running_service(vendor.base_url, WEB_CONNECTIONS="4") as service:
        clients = [Client(service) for _ in range(3)]
        for client in clients:
            client.send(f"{POST}Authorization: Bearer {sign()}\r\nContent-Length: 2\r\n\r\n{{}}")
        wait_until(lambda: vendor.holding == 3, seconds=10, what="three mints in flight")
        assert [service.get("/healthz").status_code for _ in range(5)] == [200] * 5
        vendor.release()
        assert [client.answer().status for client in clients] == [200] * 3
        for client in clients:
            client.close()


def test_a_client_that_reads_nothing_does_not_hold_up_a_stop(sandbox: Sandbox) -> None:
    """Its answers fill what the system buffers for it; sending them has a bound."""
    with running_service(sandbox.base_url) as service:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect(("127.0.0.1", port_of(service)))
        with closing(client):
            client.sendall(b"GET /static/realtime.js HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            wait_until(lambda: service.get("/healthz").ok, seconds=5, what="an answer to somebody else")
            service.run.process.terminate()
            told = time.monotonic()
            assert service.run.wait(25) == 0
            assert time.monotonic() - told < 15


def test_a_stop_answers_what_waits_in_the_accept_queue(sandbox: Sandbox) -> None:
    """Closing the listener would reset it: here the worker is held until the queue is full and the stop is told."""
    with running_service(sandbox.base_url) as service, ExitStack() as stack:
        worker = worker_of(service)
        os.kill(worker, signal.SIGSTOP)
        clients = [stack.enter_context(closing(Client(service))) for _ in range(50)]
        for client in clients:
            client.send(PROBE)
        service.run.process.terminate()
        wait_until(lambda: "Handling signal: term" in service.run.output, seconds=5, what="the stop")
        time.sleep(1.2)  # the worker looks once a second: its next look is due when it goes on
        os.kill(worker, signal.SIGCONT)
        assert [client.answer().status for client in clients] == [200] * 50
        assert service.run.wait(20) == 0


def test_a_connection_that_was_just_accepted_at_a_stop_may_still_ask(sandbox: Sandbox) -> None:
    with running_service(sandbox.base_url) as service, closing(Client(service)) as client:
        service.run.process.terminate()
        answer = client.ask(PROBE)
        assert (answer.status, service.run.wait(20)) == (200, 0)


def test_the_service_outlives_clients_that_leave_at_any_time(with_origin: TokenService) -> None:
    """In the head, in the body, before the answer."""
    for sent in (b"", b"GET /he", POST.encode() + b"Content-Length: 9\r\n\r\n{", PROBE):
        client = Client(with_origin)
        client.send(sent)
        client.close()
    assert requests.get(f"{with_origin.url}/healthz", timeout=10).ok
    assert '"level":"error"' not in with_origin.run.output


def test_sending_to_a_client_that_does_not_read_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than what the system buffers for it, the answer waits, but not for ever."""
    monkeypatch.setattr(connection, "SEND_SECONDS", 0.2)
    ours, theirs = gevent.socket.socketpair()

    with closing(ours), closing(theirs), pytest.raises(BrokenPipeError, match="does not read"):
        connection.Connection(ours).send(b"x" * 10_000_000)
