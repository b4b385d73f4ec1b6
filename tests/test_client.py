"""The companion: from a user's JWT to a talking session, with every refusal told."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import requests
import websocket

from service.client import (
    CompanionError,
    RealtimeSession,
    SessionRefusedError,
    Token,
    TokenRefusedError,
    connect,
    request_token,
    subprotocols,
)
from service.companion.client import text_turn
from service.companion.command import raise_refusal
from tests.support.http_server import Quiet, serving
from tests.support.memory import traced_memory
from tests.support.processes import PYTHON, ROOT
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.tokens import sign

ASK = {"type": "response.create", "response": {"output_modalities": ["text"]}}


def test_subprotocols_carry_the_secret_and_what_else_is_given_beta_last() -> None:
    assert subprotocols("ek_1") == ["realtime", "openai-insecure-api-key.ek_1"]
    assert subprotocols("ek_1", organization="o", project="p", beta=True) == [
        "realtime",
        "openai-insecure-api-key.ek_1",
        "openai-organization.o",
        "openai-project.p",
        "openai-beta.realtime-v1",
    ]


def test_a_token_opens_a_session_that_answers(service: TokenService) -> None:
    token = request_token(
        f"{service.url}/token", sign(), session={"instructions": "Be brief."}, expires_in=30
    )

    assert token.session["instructions"] == "Be brief."
    with connect(token) as session:
        session.send(ASK)
        events = [event["type"] for event in until_done(session)]
    assert events[0] == "session.created"
    assert events[-1] == "response.done"
    assert "response.output_text.delta" in events


def test_a_used_secret_is_replaced_once_by_a_fresh_one(service: TokenService, sandbox: Sandbox) -> None:
    token = request_token(f"{service.url}/token", sign())
    with connect(token):
        pass
    before = len(sandbox.mints())

    with connect(token) as session:
        assert next(iter(session))["type"] == "session.created"
    assert len(sandbox.mints()) == before + 1


def test_a_used_secret_that_cannot_be_renewed_is_refused_with_the_vendors_code(service: TokenService) -> None:
    token = request_token(f"{service.url}/token", sign())
    with connect(token):
        pass

    with pytest.raises(SessionRefusedError) as refused, connect(without_renewal(token)):
        pass
    assert refused.value.code == "ephemeral_token_already_used"
    assert refused.value.close_code == 3000
    assert token.value not in str(refused.value)


def test_a_wrong_secret_is_refused_with_the_vendors_code(service: TokenService) -> None:
    token = request_token(f"{service.url}/token", sign())
    forged = Token("ek_x", 0, {}, token.url, subprotocols("ek_forged"), token.calls_url)

    with pytest.raises(SessionRefusedError) as refused, connect(forged):
        pass
    assert refused.value.code == "invalid_api_key"


def test_a_refused_token_says_why_and_when_to_come_back(sandbox: Sandbox) -> None:
    with running_service(sandbox.base_url, RATE_LIMIT_PER_USER="1/hour") as service:
        url = f"{service.url}/token"
        with pytest.raises(TokenRefusedError) as refused:
            request_token(url, "junk")
        assert (refused.value.status, refused.value.code) == (401, "invalid_token")
        with pytest.raises(TokenRefusedError) as refused:
            request_token(url, sign(), model="gpt-4o")
        assert (refused.value.status, refused.value.param) == (403, "model")
        request_token(url, sign())
        with pytest.raises(TokenRefusedError) as refused:
            request_token(url, sign())
        assert refused.value.code == "rate_limit_exceeded"
        assert refused.value.retry_after is not None
        assert refused.value.retry_after >= 1


def test_a_redirect_is_not_shown_the_secret() -> None:
    shown: list[str] = []

    class Elsewhere(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"ws://{self.headers['Host']}/elsewhere")
            self.end_headers()

    with serving(Elsewhere) as address:
        url = address.replace("http:", "ws:") + "/realtime"
        token = Token("ek_1", 0, {}, url, subprotocols("ek_1"), calls_url=address)
        with pytest.raises(websocket.WebSocketException, match="Redirect"), connect(token):
            pass
    assert shown == ["/realtime"]


def test_a_token_shows_no_secret(service: TokenService) -> None:
    token = request_token(f"{service.url}/token", sign())

    assert token.value not in repr(token)


def test_a_service_that_is_not_there_is_a_connection_error() -> None:
    with pytest.raises(requests.ConnectionError):
        request_token("http://127.0.0.1:9/token", sign())


def test_the_companion_imports_nothing_of_the_server() -> None:
    program = (
        "import sys, service.client; print([m for m in ('flask', 'gevent', 'pydantic') if m in sys.modules])"
    )

    done = subprocess.run([PYTHON, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def until_done(session: RealtimeSession) -> Iterator[dict[str, Any]]:
    """Yield events up to ``response.done``."""
    for event in session:
        yield event
        if event["type"] == "response.done":
            return


def without_renewal(token: Token) -> Token:
    """Forget how the token was had."""
    return Token(token.value, token.expires_at, token.session, token.url, token.protocols, token.calls_url)


def an_answering_host(body: bytes, *, status: int = 200, seconds: float = 0, **fields: str) -> Any:
    """Run a server that answers with just this, upgrades too; a body that takes some seconds comes byte by byte."""

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # who asked is gone
                for byte in body if seconds else ():
                    self.wfile.write(bytes([byte]))
                    time.sleep(seconds / len(body))
                self.wfile.write(b"" if seconds else body)

        do_GET = do_POST  # noqa: N815 - http.server's name; a WebSocket's upgrade

    return serving(Handler)


def test_an_answer_that_unpacks_to_more_than_there_can_be_is_none() -> None:
    """50 kB of gzip are 50 MB; what is unpacked is bounded, and so is what it takes to unpack it."""
    packed = gzip.compress(bytes(50_000_000))
    with (
        an_answering_host(packed, Content_Encoding="gzip") as url,
        traced_memory() as memory,
        pytest.raises(requests.exceptions.ContentDecodingError, match="maximum size"),
    ):
        request_token(url, "jwt")
    assert memory.most < 3 * 32 * 1024 * 1024


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, b'{"error": {"code": "token_expired"}}', "token_expired"),
        (403, b'{"error": {"code": "insufficient_permissions"}}', "insufficient_permissions"),
        (401, b"<html>", "invalid_api_key"),
        (401, b'{"error": {"code": null}}', "invalid_api_key"),
        (401, b"[]", "invalid_api_key"),
        (403, b"", None),
    ],
)
def test_an_upgrade_that_is_refused_carries_the_vendors_code(
    status: int, body: bytes, code: str | None
) -> None:
    with (
        an_answering_host(body, status=status) as url,
        pytest.raises(SessionRefusedError) as refused,
        connect(Token("ek_1", 0, {}, url.replace("http", "ws", 1), subprotocols("ek_1")), timeout=5),
    ):
        pass
    assert refused.value.code == code


def test_a_used_secret_that_is_refused_at_the_upgrade_is_replaced_once() -> None:
    renewed: list[Token] = []
    used = b'{"error": {"code": "ephemeral_token_already_used"}}'
    with an_answering_host(used, status=401) as url:
        token = Token("ek_1", 0, {}, url.replace("http", "ws", 1), subprotocols("ek_1"))

        def renew() -> Token:
            renewed.append(token)
            return token

        with pytest.raises(SessionRefusedError), connect(replace(token, renew=renew), timeout=5):
            pass
    assert len(renewed) == 1


@pytest.mark.parametrize("jwt", ["canary\nX: y", "can\rary", "canary\u00e9", "can ary", "", " \n"], ids=ascii)
def test_a_jwt_that_no_header_can_carry_is_refused_and_not_repeated(jwt: str) -> None:
    with pytest.raises(CompanionError) as refused:
        request_token("http://127.0.0.1:9/token", jwt)
    assert refused.value.code == "invalid_token"
    assert "canary" not in str(refused.value)


def test_the_line_end_of_a_file_is_no_part_of_its_jwt(service: TokenService) -> None:
    assert request_token(f"{service.url}/token", f" {sign()}\r\n").value.startswith("ek_")


def test_an_answer_that_drips_is_bounded_as_a_whole() -> None:
    started = time.monotonic()
    with an_answering_host(b" " * 100, seconds=10) as url, pytest.raises(requests.exceptions.ReadTimeout):
        request_token(url, "jwt", timeout=0.5)
    assert time.monotonic() - started < 5


def test_a_redirect_is_not_followed_with_the_users_jwt() -> None:
    with (
        an_answering_host(b"{}") as elsewhere,
        an_answering_host(b"", status=307, Location=elsewhere) as url,
        pytest.raises(TokenRefusedError) as refused,
    ):
        request_token(url, "jwt")
    assert refused.value.status == 307


@pytest.mark.parametrize(
    "body",
    [
        {"value": "ek_canary", "expires_at": 1, "session": {}},
        {"value": "ek_canary", "expires_at": 1, "session": {}, "connection": None},
        {"value": "ek_canary", "expires_at": 1, "session": {}, "connection": {"url": "wss://x"}},
        ["ek_canary"],
        "ek_canary",
    ],
    ids=str,
)
def test_an_answer_of_another_route_is_told_as_that(body: Any) -> None:
    """As of the vendor's own, which have no ``connection``."""
    with an_answering_host(json.dumps(body).encode()) as url, pytest.raises(CompanionError) as refused:
        request_token(url, "jwt")
    assert refused.value.code == "unexpected_answer"
    assert "POST /token" in str(refused.value)
    assert "canary" not in str(refused.value)


def test_a_service_on_loopback_is_reached_without_the_proxy(
    service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    token = request_token(f"{service.url}/token", sign())
    with connect(token) as session:
        session.send({"type": "response.create", "response": {"output_modalities": ["text"]}})
        assert any(event["type"] == "response.done" for event in session)


@pytest.mark.parametrize("url", ["http://[::1", "http://[bad]/token", "token"])
def test_what_is_no_url_is_told_as_that(url: str) -> None:
    with pytest.raises(requests.RequestException):
        request_token(url, "jwt")


def test_a_turn_that_is_refused_ends_connect() -> None:
    """No answer follows, and the session stays open."""
    say, answer = text_turn("Hi.")
    assert say["event_id"] != answer["event_id"]
    sent = {say["event_id"], answer["event_id"]}
    error = {"type": "error", "error": {"message": "No.", "code": "no", "event_id": answer["event_id"]}}
    with pytest.raises(SessionRefusedError, match="No") as refused:
        raise_refusal(error, sent)
    assert refused.value.code == "no"
    for other in (
        {"type": "error", "error": {"event_id": None}},
        {"type": "error"},
        {"type": "session.created"},
    ):
        raise_refusal(other, sent)


def test_an_answer_that_is_no_json_is_told_as_that() -> None:
    with (
        an_answering_host(b"<html>") as url,
        pytest.raises(requests.exceptions.InvalidJSONError, match="not JSON"),
    ):
        request_token(url, "jwt")


@contextmanager
def a_host_of_bytes(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve one connection with whatever ``handle`` sends; gives host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    handle(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def dripping(connection: socket.socket) -> None:
    """Send a head that never ends, a byte at a time."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
    for _ in range(100):
        connection.sendall(b"x")
        time.sleep(0.1)


def flooding(connection: socket.socket) -> None:
    """Accept the upgrade, and send one message of a gigabyte."""
    asked = connection.recv(65_536).decode()
    key = next(
        line[19:].strip() for line in asked.splitlines() if line.lower().startswith("sec-websocket-key:")
    )
    digest = hashlib.sha1(
        f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False
    ).digest()
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\nSec-WebSocket-Protocol: realtime\r\n\r\n"
    connection.sendall(head.encode() + b"\x81\x7f" + (1 << 30).to_bytes(8, "big"))
    while True:
        connection.sendall(bytes(1_000_000))


def a_token_for(host: str) -> Token:
    return Token("ek_1", 0, {}, f"ws://{host}/realtime", subprotocols("ek_1"))


def test_a_head_that_drips_is_bounded_as_a_whole() -> None:
    """The token service's, and that of the upgrade at the vendor."""
    started = time.monotonic()
    with a_host_of_bytes(dripping) as host, pytest.raises(requests.exceptions.ReadTimeout):
        request_token(f"http://{host}/token", "jwt", timeout=0.5)
    with (
        a_host_of_bytes(dripping) as host,
        pytest.raises(websocket.WebSocketException),
        connect(a_token_for(host), timeout=0.5),
    ):
        pass
    assert time.monotonic() - started < 5


def test_a_message_that_is_longer_than_one_could_be_ends_the_session() -> None:
    with (
        a_host_of_bytes(flooding) as host,
        traced_memory() as memory,
        pytest.raises(SessionRefusedError, match="exceeds the maximum size"),
        connect(a_token_for(host)),
    ):
        pass
    assert memory.most < 3 * 32 * 1024 * 1024
