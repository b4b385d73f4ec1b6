"""Openings that never reach the vendor, or whose client leaves: nothing is charged, and nothing stays open."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.sandbox.tls import write_certificate
from tests.support.call_vendor import call_vendor
from tests.support.offers import OFFER
from tests.support.processes import free_port, wait_until
from tests.support.proxy import running_proxy
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


def test_a_proxy_that_does_not_answer_costs_nothing() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running_service(
            f"https://127.0.0.1:{free_port()}/v1",
            HTTPS_PROXY=f"http://127.0.0.1:{silent.getsockname()[1]}",
            UPSTREAM_TIMEOUT="1",
        ) as service,
    ):
        assert service.post("/calls", {"sdp": OFFER}).status_code == 504
        assert '"outcome":"refused"' in service.run.output


def test_of_an_opening_that_is_dropped_behind_a_proxy_the_outcome_is_unknown(tmp_path: Path) -> None:
    """The vendor has received it whole, so that the session may be running."""

    def drop() -> None:
        raise ConnectionError

    certificate = write_certificate(tmp_path)
    with (
        running_proxy() as proxy,
        call_vendor(certificate) as vendor,
        running_service(
            vendor.base_url, HTTPS_PROXY=proxy.url, REQUESTS_CA_BUNDLE=str(certificate.authority)
        ) as service,
    ):
        vendor.at_opening = drop
        assert service.post("/calls", {"sdp": OFFER}).status_code == 503
        assert vendor.opened == ["rtc_0"]
        assert '"outcome":"unknown"' in service.run.output


def test_a_call_whose_answer_breaks_off_after_its_name_is_ended() -> None:
    """No sandbox's fault shows this one: the head with its ``Location`` comes, and then half an SDP."""
    with (
        call_vendor() as vendor,
        running_service(vendor.base_url, CALLS_PER_USER="1", CALLS_AT_LIMIT="refuse") as service,
    ):
        vendor.length += 100
        broken = service.post("/calls", {"sdp": OFFER})
        assert (broken.status_code, broken.json()["error"]["code"]) == (502, "upstream_error")
        assert broken.headers["x-should-retry"] == "false"
        wait_until(lambda: vendor.hung_up == ["rtc_0"], seconds=2, what="the ending")
        assert '"outcome":"unknown"' not in service.run.output
        vendor.length -= 100
        assert service.post("/calls", {"sdp": OFFER}).status_code == 201


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
