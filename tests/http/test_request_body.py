"""A request's body is read to its end and no further, under each server that the app can run on."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

import pytest
import requests

from service.core.errors import InvalidRequestError, RequestTooLargeError
from service.http.request import read_body
from tests.support.processes import PYTHON, Running, free_port, running
from tests.support.service import GUNICORN, Sandbox, TokenService, service_environ
from tests.support.tokens import sign

MAX_BODY_BYTES = 50_000
JSON = {"Content-Type": "application/json"}

SERVERS: dict[str, Callable[[int], tuple[str, ...]]] = {
    "flask run": lambda port: (PYTHON, "-m", "flask", "--app", "wsgi", "run", "--port", str(port)),
    "waitress": lambda port: (PYTHON, "-m", "waitress", f"--listen=127.0.0.1:{port}", "wsgi:app"),
    "gunicorn sync": lambda port: (
        *(PYTHON, "-m", "gunicorn", "--worker-class", "sync", "--bind", f"127.0.0.1:{port}", "wsgi:app"),
    ),
    "gunicorn gevent": lambda _port: (*GUNICORN, "wsgi:app"),
}


@pytest.fixture(scope="module", params=SERVERS)
def served(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[TokenService]:
    """The service under each server in turn."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environ = service_environ(sandbox.base_url, PORT=str(port), MAX_BODY_BYTES=str(MAX_BODY_BYTES))

    def is_ready(_: Running) -> bool:
        with suppress(requests.ConnectionError):
            return requests.get(f"{url}/healthz", timeout=10).ok
        return False

    with running(SERVERS[request.param](port), environ=environ, ready=is_ready) as run:
        yield TokenService(url, run)


def refusal(answer: requests.Response) -> tuple[int, str, str | None]:
    """Name the status, the code and the member of a refused request."""
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def in_chunks(body: bytes, size: int = 1_000) -> Iterator[bytes]:
    """Cut a body, so that it is sent in chunks and without its length."""
    return (body[start : start + size] for start in range(0, len(body), size))


def test_a_body_is_read_to_its_content_length_and_not_beyond(served: TokenService) -> None:
    """The client keeps its connection open: a read beyond the end would wait for its next request."""
    head = f"POST /token HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sign()}\r\nContent-Type: application/json\r\n"
    port = int(served.url.rpartition(":")[2])

    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(f'{head}Content-Length: 13\r\n\r\n{{"colour": 1}}'.encode())
        answer = HTTPResponse(client)
        answer.begin()
        error = json.loads(answer.read())["error"]

    assert (answer.status, error["code"]) == (400, "unknown_parameter")


def test_an_empty_body_counts_as_an_empty_object(served: TokenService) -> None:
    """Whether its length is declared or not: it asks for the default model and session."""
    for body in (b"", in_chunks(b"")):
        answer = served.post("/token", data=body, headers=JSON)
        assert (answer.status_code, answer.json()["session"]["model"]) == (200, "gpt-realtime-2.1")


def test_a_chunked_body_is_read_whole(served: TokenService) -> None:
    body = json.dumps({"colour": "x" * 40_000}).encode()

    assert refusal(served.token(data=in_chunks(body), headers=JSON)) == (400, "unknown_parameter", "colour")


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 2_000_000])
def test_a_body_over_the_cap_is_refused_and_not_cut(served: TokenService, size: int) -> None:
    """Whether its length is declared or not; and the answer arrives, though the client is still sending."""
    declared = served.token(data=b" " * size, headers=JSON)
    chunked = served.token(data=in_chunks(b" " * size), headers=JSON)

    assert refusal(declared) == refusal(chunked) == (413, "request_too_large", None)


def test_a_body_of_exactly_the_cap_is_read(served: TokenService) -> None:
    body = b'{"colour": 1' + b" " * (MAX_BODY_BYTES - 13) + b"}"

    for data in (body, in_chunks(body)):
        assert refusal(served.token(data=data, headers=JSON)) == (400, "unknown_parameter", "colour")


def environ_of(body: bytes, **variables: str) -> dict[str, Any]:
    """Make what a server without ``wsgi.input_terminated`` hands to the app."""
    return {"REQUEST_METHOD": "POST", "wsgi.input": BytesIO(body), **variables}


def test_an_input_that_the_server_does_not_end_is_read_by_its_content_length() -> None:
    assert read_body(environ_of(b"bodyPOST /next", CONTENT_LENGTH="4"), max_bytes=10) == b"body"
    assert read_body(environ_of(b"POST /next", CONTENT_LENGTH=""), max_bytes=10) == b""
    assert read_body(environ_of(b"POST /next"), max_bytes=10) == b""


@pytest.mark.parametrize("length", ["ten", "-1", "1_0", "\u0661"])
def test_a_content_length_that_is_no_number_is_refused(length: str) -> None:
    """Some servers hand it on as the client wrote it."""
    with pytest.raises(InvalidRequestError, match="Content-Length"):
        read_body(environ_of(b"body", CONTENT_LENGTH=length), max_bytes=10)


def test_a_body_that_ends_early_is_refused_by_its_length() -> None:
    with pytest.raises(InvalidRequestError, match="shorter than its Content-Length"):
        read_body(environ_of(b"{}", CONTENT_LENGTH="9"), max_bytes=10)


def test_a_declared_length_over_the_cap_is_refused_before_anything_is_read() -> None:
    environ = environ_of(b"x" * 20, CONTENT_LENGTH="20")

    with pytest.raises(RequestTooLargeError):
        read_body(environ, max_bytes=10)
    assert environ["wsgi.input"].tell() == 0


def test_a_chunked_body_that_the_server_leaves_chunked_is_refused() -> None:
    """Reading it as it stands would take the chunks' sizes for the body."""
    with pytest.raises(InvalidRequestError, match="Content-Length"):
        read_body(environ_of(b"2\r\n{}\r\n", HTTP_TRANSFER_ENCODING="chunked"), max_bytes=10)
