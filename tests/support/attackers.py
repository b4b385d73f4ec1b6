"""Clients that want to hold a service up, in a process of their own: ``python -m tests.support.attackers NAME PORT``.

They run on loopback until they are ended, or for ``LONGEST`` seconds.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

from tests.support.forks import start_fork
from tests.support.processes import PYTHON, bare_environ, running
from tests.support.tokens import sign

LONGEST = 30.0
FULL_SWING = 0.7
CONNECTIONS = 3
CROWD = 100
POST = b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
USER = f"Authorization: Bearer {sign()}\r\n".encode()
KNOWN = POST + USER
NO_OFFER = b'{"sdp": "v=0"}'
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
ONE_BYTE_CHUNKS = b"1\r\nx\r\n" * 10_000
LIST = b"GET /calls HTTP/1.1\r\nHost: x\r\n"
BAD_TOKEN = f"Authorization: Bearer {sign(key='x' * 32)}\r\n".encode()
TOOLS = json.dumps({"session": {"tools": [{"name": "a"}] * 4_800}}, separators=(",", ":")).encode()
UNPACKS = "gpt-realtime-that-unpacks"
"""A model for which a vendor of the tests answers with a small body that unpacks to a giant one."""
ENDINGS = (b"}", b"\n", b"\r\n\r\n")
FIELD = b"X-Field: " + b"x" * 8_000 + b"\r\n"


def connect(port: int) -> socket.socket:
    """Open a connection on which each byte is sent by itself."""
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def flood(head: bytes, block: bytes) -> Callable[[int], None]:
    """Send a head, and one block after the other as fast as they are taken."""

    def attack(port: int) -> None:
        with connect(port) as client:
            client.sendall(head)
            while True:
                client.sendall(block)

    return attack


def byte_by_byte(head: bytes, byte: bytes) -> Callable[[int], None]:
    """Send a long beginning of a head, and then the rest in single bytes."""

    def attack(port: int) -> None:
        with connect(port) as client:
            client.sendall(head)
            while True:
                client.sendall(byte)

    return attack


def ask(make: Callable[[int], bytes], *, at_once: int = 20) -> Callable[[int], None]:
    """Send some requests, each made for its number, read all their answers, and again."""
    numbers = count(os.getpid() << 16)

    def attack(port: int) -> None:
        with connect(port) as client:
            while True:
                client.sendall(b"".join(make(next(numbers)) for _ in range(at_once)))
                received = b""
                while received.count(b"HTTP/1.1 ") < at_once or not received.endswith(ENDINGS):
                    if not (piece := client.recv(65_536)):
                        return
                    received += piece

    return attack


def known(body: bytes, *fields: bytes) -> bytes:
    """Write a user's request for a secret."""
    return KNOWN + b"".join(fields) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def signed_badly(number: int) -> bytes:
    """Write a request with a bad token, from another network each time."""
    network = f"2001:{number >> 16 & 0xFFFF:x}:{number & 0xFFFF:x}::1".encode()
    return LIST + b"X-Forwarded-For: " + network + b"\r\n" + BAD_TOKEN + b"\r\n"


def of_an_unknown_key(number: int) -> bytes:
    """Write a request with a token that names another key each time."""
    header = json.dumps({"alg": "ES256", "typ": "JWT", "kid": f"unknown-{number}"}).encode()
    _, payload, _ = sign().split(".")
    token = urlsafe_b64encode(header).rstrip(b"=") + f".{payload}.{'A' * 86}".encode()
    return LIST + b"Authorization: Bearer " + token + b"\r\n\r\n"


def repeat(request: bytes) -> Callable[[int], None]:
    """Send a request on a connection of its own, read its answer, and again."""

    def attack(port: int) -> None:
        with connect(port) as client:
            client.sendall(request)
            while client.recv(65_536):
                pass

    return attack


def crowd(beginning: bytes, *, reads: bool = True, newcomers: int = 300) -> Callable[[int], None]:
    """Open a hundred connections, send each the same, and keep them; so many come again each second."""

    def attack(port: int) -> None:
        clients = [begin(port, beginning, reads=reads) for _ in range(CROWD // CONNECTIONS)]
        while True:
            time.sleep(CONNECTIONS / newcomers)
            closed = [client for client in clients if is_closed(client)] if reads else clients[:1]
            for client in closed[:1]:
                clients.remove(client)
                client.close()
                clients.append(begin(port, beginning, reads=reads))

    return attack


def begin(port: int, beginning: bytes, *, reads: bool) -> socket.socket:
    """Open a connection, and send as much as is taken at once."""
    client = socket.socket()
    if not reads:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(5)
    client.connect(("127.0.0.1", port))
    client.settimeout(0)
    with suppress(OSError):
        client.sendall(beginning)
    return client


def is_closed(client: socket.socket) -> bool:
    """Return whether the other side has closed a connection."""
    try:
        return not client.recv(65_536)
    except BlockingIOError:
        return False
    except OSError:
        return True


ATTACKS: dict[str, Callable[[int], None]] = {
    "one-byte chunks without a token": flood(POST + CHUNKED, ONE_BYTE_CHUNKS),
    "one-byte chunks of a user": flood(KNOWN + CHUNKED, ONE_BYTE_CHUNKS),
    "trailers without end": flood(KNOWN + CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-Trailer: x\r\n" * 1_000),
    "a chunk size without end": flood(KNOWN + CHUNKED, b"0" * 8_000),
    "a huge body that nobody reads": flood(POST + b"Content-Length: 99999999999\r\n\r\n", b"x" * 65_536),
    "a huge body of a GET": flood(
        b"GET /healthz HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 65_536
    ),
    "a body after the answer": flood(POST + b"Content-Length: 65000\r\n\r\n", b"x"),
    "a giant head, then single bytes": byte_by_byte(b"GET / HTTP/1.1\r\n" + FIELD * 199, b"x"),
    "a long head, then single bytes": byte_by_byte(b"GET / HTTP/1.1\r\n" + FIELD * 7 + b"X-Long: ", b"x"),
    "a head in single bytes": byte_by_byte(b"GET / HTTP/1.1\r\nX-Long: ", b"x"),
    "heads without end": flood(b"GET / HTTP/1.1\r\n", FIELD),
    "requests sent without a pause": flood(b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 200),
    "lists of calls without a pause": flood(
        b"", (b"GET /calls HTTP/1.1\r\nHost: x\r\n" + USER + b"\r\n") * 100
    ),
    "endings of unknown calls": flood(
        b"", (b"DELETE /calls/call_" + b"0" * 32 + b" HTTP/1.1\r\nHost: x\r\n" + USER + b"\r\n") * 100
    ),
    "openings that the vendor refuses": flood(
        b"",
        (KNOWN.replace(b"/token", b"/calls") + b"Content-Length: %d\r\n\r\n" % len(NO_OFFER) + NO_OFFER)
        * 100,
    ),
    "requests that are not HTTP": repeat(b"\x16\x03\x01 hello\r\n\r\n"),
    "connections that ask nothing": crowd(b""),
    "connections that asked once": crowd(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    "heads that do not end": crowd(b"GET /healthz HTTP/1.1\r\nX-Slow: "),
    "bodies that do not come": crowd(KNOWN + b"Content-Length: 100\r\n\r\n{"),
    "answers that nobody reads": crowd(
        b"GET /static/realtime.js HTTP/1.1\r\nHost: x\r\n\r\n" * 20, reads=False, newcomers=20
    ),
}


ATTACKS_ON_LIMITS: dict[str, Callable[[int], None]] = {
    "bodies of 4,800 tools": ask(lambda _: known(TOOLS), at_once=3),
    "tokens of unknown keys": ask(of_an_unknown_key),
    "guesses of the admin's token": ask(
        lambda _: LIST.replace(b"/calls", b"/admin/calls") + BAD_TOKEN + b"\r\n"
    ),
}
"""Those that the service's own limits have to end, at their defaults and with a Redis."""

ATTACKS_BY_THE_VENDOR: dict[str, Callable[[int], None]] = {
    "answers that unpack to a hundred megabytes": ask(
        lambda _: known(json.dumps({"model": UNPACKS}).encode()), at_once=1
    ),
}


STRANGERS, PROBES = "bad tokens from many networks", "probes without a pause"
ATTACKS_ON_THE_STORAGE: dict[str, Callable[[int], None]] = {
    STRANGERS: ask(signed_badly),
    PROBES: ask(lambda _: b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"),
}


def run(name: str, port: int) -> None:
    """Attack on a few connections at once; what is closed is opened again."""
    attack = (ATTACKS | ATTACKS_ON_LIMITS | ATTACKS_ON_THE_STORAGE | ATTACKS_BY_THE_VENDOR)[name]

    def client() -> None:
        while True:
            with suppress(OSError):
                attack(port)
            time.sleep(0.001)

    for _ in range(CONNECTIONS):
        threading.Thread(target=client, daemon=True).start()
    time.sleep(FULL_SWING)
    print("begun", flush=True)  # noqa: T201 - for the test that started it
    time.sleep(LONGEST)


@contextmanager
def attacking(name: str, port: int) -> Iterator[None]:
    """Run an attack until the block ends, which is entered once it is in full swing."""
    command = (PYTHON, "-m", "tests.support.attackers", name, str(port))
    ready = lambda run: "begun" in run.output  # noqa: E731 - one look
    with running(command, environ=bare_environ(), ready=ready, start=start_fork) as run:
        try:
            yield
        finally:
            run.process.kill()
            run.process.wait()


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
