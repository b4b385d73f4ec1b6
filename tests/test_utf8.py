"""Text in scripts of several bytes: long instructions fit, and our own clients send UTF-8."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler

import pytest

from service.companion.client import TokenRefusedError, connect, request_token
from tests.support.http_server import Quiet, serving
from tests.support.service import Sandbox, TokenService
from tests.support.tokens import sign

JAPANESE = "こんにちは、" * 1834
"""Eleven thousand characters: 33 KB in UTF-8, and over 64 KB where each is escaped."""


@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "UTF-8"])
def test_eleven_thousand_japanese_characters_are_no_too_large_body(
    service: TokenService, escaped: bool
) -> None:
    body = json.dumps(
        {"session": {"type": "realtime", "instructions": JAPANESE}}, ensure_ascii=escaped
    ).encode()

    answer = service.token(data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["session"]["instructions"] == JAPANESE


@pytest.mark.parametrize("text", ["日本語", "\ud800"], ids=["Japanese", "half a surrogate pair"])
def test_the_companion_asks_in_utf8(text: str) -> None:
    """What UTF-8 cannot write stays escaped."""
    received = []

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(
                (self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"])))
            )
            self.send_response(400)
            self.end_headers()

    with serving(Handler) as address, pytest.raises(TokenRefusedError):
        request_token(address, "jwt", session={"instructions": text})
    [(kind, body)] = received
    assert kind == "application/json"
    assert ("日本語".encode() in body) is (text == "日本語")
    assert json.loads(body) == {"session": {"instructions": text}}


def test_the_companion_talks_in_utf8(service: TokenService, sandbox: Sandbox) -> None:
    """To the end: the sandbox takes the text as it was."""
    assert sandbox.base_url
    token = request_token(f"{service.url}/token", sign())
    content = [{"type": "input_text", "text": "日本語"}]
    item = {"type": "message", "role": "user", "content": content}
    with connect(token) as session:
        session.send({"type": "conversation.item.create", "item": item})
        added = next(event for event in session if event["type"] == "conversation.item.added")
    assert added["item"]["content"][0]["text"] == "日本語"
