"""Openings that never reach the vendor, or whose client leaves: nothing is charged, and nothing stays open."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.support.offers import OFFER
from tests.support.processes import free_port, wait_until
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.voice import LIVE, Voice, at_sandbox


@pytest.fixture(scope="module")
def serving(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service that opens Live sessions."""
    with running_service(sandbox.base_url, ALLOWED_MODELS=LIVE) as service:
        yield service


def test_a_vendor_that_cannot_be_reached_costs_nothing() -> None:
    with running_service(f"http://127.0.0.1:{free_port()}/v1", ALLOWED_MODELS=LIVE) as service:
        answers = [service.post("/calls", {"sdp": OFFER, "model": LIVE}) for _ in range(2)]
        assert {answer.status_code for answer in answers} == {503}
        assert '"outcome":"refused"' in service.run.output
        assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}
        assert '"outcome":"unknown"' not in service.run.output


def test_a_client_that_leaves_while_its_call_is_opened_is_not_left_with_one(
    serving: TokenService, sandbox: Sandbox
) -> None:
    sandbox.reset()
    voice = Voice(serving, sandbox, user="hasty")
    body = json.dumps({"sdp": OFFER, "model": LIVE})
    head = f"POST /calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {voice.jwt}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    host, port = serving.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall((head + body).encode())
    wait_until(lambda: bool(at_sandbox(sandbox)), seconds=2, what="the opening")
    voice.wait_until_ended()
    assert "The client left while its call was being opened." in serving.run.output
