"""Whatever the vendor does at an opening or an ending, it is mapped, settled, and nothing stays open that is known."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests.support.call_vendor import call_vendor
from tests.support.offers import OFFER
from tests.support.processes import free_port, wait_until
from tests.support.service import Sandbox, TokenService, running_sandbox, running_service
from tests.support.voice import ADMIN_TOKEN, LIVE, Voice, at_sandbox

DEFINITE = {
    "fault-401": (502, "upstream_rejected_credentials"),
    "fault-429": (503, "upstream_rate_limited"),
    "fault-500": (502, "upstream_error"),
    "fault-503": (503, "upstream_unavailable"),
}
UNKNOWN = {
    "fault-html": (502, "upstream_error"),
    "fault-truncated": (502, "upstream_error"),
    "fault-empty": (502, "upstream_error"),
    "fault-hang": (504, "upstream_timeout"),
    "fault-drip": (504, "upstream_timeout"),
    "fault-reset": (503, "upstream_unavailable"),
    "fault-lost": (503, "upstream_unavailable"),
    "fault-no-location": (502, "upstream_error"),
}
NEVER_TOLD = {"fault-lost", "fault-no-location"}
ENDINGS = ("fault-hangup-500", "fault-hangup-404")
GRANTED, MINUTES, CHARGED = 600, 3600, 15

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox of this module's own: some of its sessions stay open."""
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def serving(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service that is as impatient as it may be."""
    models = ",".join(["gpt-realtime-2.1", LIVE, *DEFINITE, *UNKNOWN, *ENDINGS])
    variables = {"ALLOWED_MODELS": models, "UPSTREAM_TIMEOUT": "1", "METRICS_TOKEN": "a-token-for-metrics"}
    with running_service(sandbox.base_url, ADMIN_TOKEN=ADMIN_TOKEN, **variables) as service:
        yield service


@pytest.mark.parametrize("kind", ["live", "realtime"])
@pytest.mark.parametrize(("model", "expected"), [*DEFINITE.items(), *UNKNOWN.items()])
def test_a_failed_opening_is_mapped_and_settled(
    serving: TokenService, sandbox: Sandbox, kind: str, model: str, expected: tuple[int, str]
) -> None:
    sandbox.reset()
    voice = Voice(serving, sandbox, user=f"{kind}-{model}")
    before = counted(serving)
    unknown_before = number(serving, "token_service_calls_unknown_total")

    answer = voice.open(session={"type": kind, "model": model})

    assert (answer.status_code, answer.json()["error"]["code"]) == expected
    assert answer.headers["x-should-retry"] == "false"
    assert OFFER.splitlines()[9] not in answer.text
    unknown = model in UNKNOWN
    assert number(serving, "token_service_calls_unknown_total") - unknown_before == unknown
    assert counted(serving) - before == unknown  # against CALLS_GLOBAL, for two minutes
    (event,) = [
        json.loads(line)
        for line in serving.run.output.splitlines()
        if answer.headers["X-Request-Id"] in line and '"event":"call"' in line
    ]
    assert (event["decision"], event["outcome"]) == ("refused", "unknown" if unknown else "refused")
    assert voice.listed() == []
    # The slot is free again, and the minutes are there but for the charge.
    good = voice.open(session={"type": kind})
    assert good.status_code == 201, good.text
    left = re.search(r'"call-seconds";r=(\d+)', good.headers["RateLimit"])
    assert left
    assert int(left[1]) == MINUTES - GRANTED - (CHARGED if unknown else 0)
    voice.end(good.json()["call"]["id"])
    voice.wait_until_ended(int(model in NEVER_TOLD))


def counted(service: TokenService) -> int:
    """Count what is open, by the metrics."""
    return number(service, "token_service_calls_open")


def number(service: TokenService, name: str) -> int:
    """Read one number of the metrics."""
    metrics = service.get("/metrics", headers={"Authorization": "Bearer a-token-for-metrics"}).text
    found = re.search(rf"^{name} (\d+)", metrics, re.MULTILINE)
    assert found
    return int(found[1])


def test_endings_that_fail_are_tried_until_they_succeed(serving: TokenService, sandbox: Sandbox) -> None:
    """At once, after 1 s, 2 s and 4 s; of both kinds and both faults together, since it takes that long."""
    sandbox.reset()
    calls = []
    for kind in ("live", "realtime"):
        for model in ENDINGS:
            voice = Voice(serving, sandbox, user=f"{kind}-{model}")
            call_id = voice.opened(session={"type": kind, "model": model})
            calls.append((voice, call_id))
            assert voice.end(call_id).status_code == 204
    calls[0][0].wait_until_ended(seconds=14)
    for voice, call_id in calls:
        voice.wait_until_told(call_id, "client")
    metrics = serving.get("/metrics", headers={"Authorization": "Bearer a-token-for-metrics"}).text
    assert "token_service_call_endings_failed_total 0.0" not in metrics


def test_a_vendor_that_cannot_be_reached_costs_nothing() -> None:
    with running_service(f"http://127.0.0.1:{free_port()}/v1", ALLOWED_MODELS=LIVE) as service:
        answers = [service.post("/calls", {"sdp": OFFER, "model": LIVE}) for _ in range(2)]
        assert {answer.status_code for answer in answers} == {503}
        assert '"outcome":"refused"' in service.run.output
        assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}
        assert '"outcome":"unknown"' not in service.run.output


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
