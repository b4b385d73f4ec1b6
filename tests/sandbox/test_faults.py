"""Failures on demand, as a client sees them over a real connection."""

from __future__ import annotations

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.offers import OFFER
from tests.support.realtime import KEY
from tests.support.service import Sandbox


def _mint(sandbox: Sandbox, model: str, **options: Any) -> requests.Response:
    body = {"session": {"type": "realtime", "model": model}}
    return requests.post(f"{sandbox.base_url}/realtime/client_secrets", json=body, headers=KEY, **options)


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("fault-401", 401, "invalid_api_key"),
        ("fault-429", 429, "rate_limit_exceeded"),
        ("fault-500", 500, None),
        ("fault-503", 503, "server_overloaded"),
    ],
)
def test_a_fault_with_a_status_is_answered_in_the_vendors_shape(
    sandbox: Sandbox, model: str, status: int, code: str | None
) -> None:
    """With the vendor's error object."""
    answer = _mint(sandbox, model, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("query", "session"),
    [
        ("?model=fault-503", None),
        ("?model=fault-503", {"type": "realtime"}),
        ("", {"type": "realtime", "model": "fault-503"}),
        ("", {"type": "transcription", "audio": {"input": {"transcription": {"model": "fault-503"}}}}),
    ],
    ids=["query", "query beside a session", "session", "transcription"],
)
def test_a_fault_is_found_wherever_an_opening_names_its_model(
    sandbox: Sandbox, query: str, session: dict[str, Any] | None
) -> None:
    parts = {"sdp": (None, OFFER)} | ({"session": (None, json.dumps(session))} if session else {})
    answer = requests.post(f"{sandbox.base_url}/realtime/calls{query}", files=parts, headers=KEY, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "server_overloaded")


def test_the_rate_limit_says_when_to_retry(sandbox: Sandbox) -> None:
    """In both of the vendor's headers."""
    headers = _mint(sandbox, "fault-429", timeout=10).headers
    assert int(headers["retry-after"]) * 1000 == int(headers["retry-after-ms"])


@pytest.mark.parametrize("model", ["fault-html", "fault-truncated", "fault-empty"])
def test_some_faults_have_status_200_and_no_json(sandbox: Sandbox, model: str) -> None:
    """A careless client would take them for a secret."""
    answer = _mint(sandbox, model, timeout=10)
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_a_hang_never_answers(sandbox: Sandbox) -> None:
    """Only the client's timeout ends it."""
    with pytest.raises(requests.ReadTimeout):
        _mint(sandbox, "fault-hang", timeout=0.5)


def test_a_drip_outlasts_every_timeout_between_bytes(sandbox: Sandbox) -> None:
    """A byte arrives before each timeout."""
    with _mint(sandbox, "fault-drip", timeout=2, stream=True) as answer:
        before = time.monotonic()
        pieces = answer.iter_content(1)
        assert [next(pieces) for _ in range(3)] == [b" "] * 3
        assert time.monotonic() - before > 0.5


def test_a_reset_comes_before_any_answer(sandbox: Sandbox) -> None:
    """RST, not an orderly close."""
    with pytest.raises(requests.ConnectionError, match="reset"):
        _mint(sandbox, "fault-reset", timeout=10)


def test_every_attempt_is_counted_answered_or_not(sandbox: Sandbox) -> None:
    """Tests of retries count them."""
    sandbox.reset()
    for model in ("fault-503", "fault-reset", "fault-503"):
        try:
            _mint(sandbox, model, timeout=10)
        except requests.ConnectionError:
            continue
    assert [mint["status"] for mint in sandbox.mints()] == [503, None, 503]
    assert not any(mint["minted"] for mint in sandbox.mints())


@pytest.mark.parametrize(
    ("path", "session"),
    [
        (
            "/realtime/client_secrets",
            {"type": "transcription", "audio": {"input": {"transcription": {"model": "fault-503"}}}},
        ),
        ("/realtime/translations/client_secrets", {"model": "fault-503"}),
    ],
)
def test_the_model_is_found_where_the_session_keeps_it(
    sandbox: Sandbox, path: str, session: dict[str, Any]
) -> None:
    """It is deeper in a transcription."""
    answer = requests.post(sandbox.base_url + path, json={"session": session}, headers=KEY, timeout=10)
    assert answer.status_code == 503


def test_a_hanging_client_that_leaves_frees_the_sandbox(sandbox: Sandbox) -> None:
    """After many that hang and leave, the next is served."""
    where = urlsplit(sandbox.base_url)
    body = b'{"session": {"type": "realtime", "model": "fault-hang"}}'
    for _ in range(30):
        with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
            connection.sendall(
                b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-x\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
    assert _mint(sandbox, "gpt-realtime-2.1", timeout=10).ok
