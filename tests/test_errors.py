"""Every row of the contract's error table: status, code, headers, shape; over real sockets where they matter."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.processes import free_port
from tests.support.service import Sandbox, TokenService, app_in_process, running_service
from tests.support.tokens import sign

FAULTS = (
    "fault-401",
    "fault-429",
    "fault-500",
    "fault-503",
    "fault-html",
    "fault-truncated",
    "fault-empty",
    "fault-hang",
    "fault-drip",
    "fault-reset",
)


@pytest.fixture(scope="module")
def faulty(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service that allows the sandbox's faults, and does not wait for long."""
    models = ",".join(("gpt-realtime-2.1", *FAULTS))
    with running_service(sandbox.base_url, ALLOWED_MODELS=models, UPSTREAM_TIMEOUT="1.5") as service:
        yield service


@pytest.fixture(scope="module")
def strict(sandbox: Sandbox) -> TokenService:
    """A service with limits that are soon used up, and a scope to have."""
    limits = {
        "RATE_LIMIT_PER_USER": "2/hour",
        "RATE_LIMIT_GLOBAL": "5/hour",
        "RATE_LIMIT_FAILED_AUTH": "3/hour",
    }
    return app_in_process(sandbox.base_url, JWT_REQUIRED_SCOPE="realtime", **limits)


def error_of(answer: requests.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is the contract's error, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-Id"]
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert error["message"]
    assert error["type"]
    return error


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"modle": "x"}, "unknown_parameter", "modle"),
        (
            {"expires_after": {"seconds": 60, "anchr": "created_at"}},
            "unknown_parameter",
            "expires_after.anchr",
        ),
        ({"expires_after": {"seconds": 601}}, "invalid_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": 9}}, "invalid_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": "60"}}, "invalid_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": 60, "anchor": "now"}}, "invalid_value", "expires_after.anchor"),
        ({"session": {"type": "telepathy"}}, "invalid_value", "session.type"),
        ({"session": []}, "invalid_value", "session"),
        ({"model": "a", "session": {"model": "b"}}, "invalid_value", "model"),
        ({"session": {"type": "translation"}}, "invalid_value", "session.model"),
        ({"profile": "support"}, "unknown_parameter", "profile"),
    ],
)
def test_a_wrong_member_is_a_400_that_names_it(
    app: TokenService, body: dict[str, Any], code: str, param: str
) -> None:
    assert error_of(app.token(body), 400, code)["param"] == param


@pytest.mark.parametrize(
    "data", [b" ", b"{", b"[]", b"null", b'"x"', b"\xff", b"{" * 10_000, b'{"model": NaN}']
)
def test_a_body_that_is_not_a_json_object_is_a_400(app: TokenService, data: bytes) -> None:
    answer = app.token(data=data, headers={"Content-Type": "application/json"})

    error_of(answer, 400, "invalid_json")


def test_the_vendors_words_about_the_callers_session_reach_the_caller(app: TokenService) -> None:
    answer = app.token({"session": {"max_output_tokens": 5000}})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "session.max_output_tokens"


@pytest.mark.parametrize("authorization", [None, "", "Basic dTpw", "Bearer", "Bearer "])
def test_a_missing_token_is_a_401_whose_challenge_names_no_error(
    app: TokenService, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = app.token(jwt="", headers=headers)

    error_of(answer, 401, "missing_token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert "error=" not in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "jwt",
    [
        "x",
        "a.b.c",
        "x" * 9000,
        sign(key="another-secret-of-more-than-32-bytes!"),
        sign(exp=1),
        sign(exp=None),
        sign(iss="https://evil.test"),
        sign(aud="another"),
        sign(sub=" "),
        sign(key=None, algorithm="none"),
    ],
    ids=[
        "junk",
        "dots",
        "large",
        "signature",
        "expired",
        "no exp",
        "issuer",
        "audience",
        "blank sub",
        "alg none",
    ],
)
def test_a_bad_token_is_a_401_and_its_sender_never_learns_why(app: TokenService, jwt: str) -> None:
    answer = app.token(jwt=jwt)

    error = error_of(answer, 401, "invalid_token")
    assert error["message"] == error_of(app.token(jwt="junk"), 401, "invalid_token")["message"]
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_token_without_the_scope_is_a_403_with_a_challenge(strict: TokenService) -> None:
    answer = strict.token(jwt=sign(scope="email"))

    error_of(answer, 403, "insufficient_scope")
    assert 'error="insufficient_scope", scope="realtime"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "gpt-4o"}, "model"),
        ({"session": {"model": "gpt-4o"}}, "session.model"),
        (
            {
                "session": {
                    "type": "transcription",
                    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
                }
            },
            "session.audio.input.transcription.model",
        ),
    ],
)
def test_a_model_that_is_not_allowed_is_a_403(app: TokenService, body: dict[str, Any], param: str) -> None:
    assert error_of(app.token(body), 403, "model_not_allowed")["param"] == param


def test_a_session_member_the_policy_keeps_back_is_a_403(sandbox: Sandbox) -> None:
    policy = '{"fields": {"deny": ["instructions"]}}'

    answer = app_in_process(sandbox.base_url, SESSION_POLICY=policy).token({"session": {"instructions": "x"}})
    assert error_of(answer, 403, "session_field_not_allowed")["param"] == "session.instructions"


def test_a_doubled_slash_is_a_404_and_no_redirect(app: TokenService) -> None:
    answer = app.post("/v1//realtime/client_secrets", allow_redirects=False)

    error_of(answer, 404, "not_found")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"Content-Length: 10\r\n\r\n{", 408),
        (b"Transfer-Encoding: chunked\r\n\r\n493E1\r\n" + b" " * 300_000, 413),
    ],
    ids=["length", "chunked, over the cap"],
)
def test_a_body_that_stops_arriving_is_answered_and_its_connection_closed(
    service: TokenService, sent: bytes, status: int
) -> None:
    """What comes later on that connection is no request: it may be the rest of the body."""
    head = f"POST /token HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sign()}\r\nContent-Type: application/json\r\n"
    port = int(service.url.rpartition(":")[2])

    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(head.encode() + sent)
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.count(b"HTTP/1.1 ") == 1


def test_an_unknown_route_is_a_404_and_a_wrong_method_a_405(app: TokenService) -> None:
    error_of(app.get("/nowhere"), 404, "not_found")
    answer = app.get("/token")
    error_of(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("size", [300_000, 10_000_000])
def test_a_body_over_the_cap_is_a_413_and_not_a_reset(service: TokenService, size: int) -> None:
    answer = service.token(data=b" " * size, headers={"Content-Type": "application/json"})

    assert "262144" in error_of(answer, 413, "request_too_large")["message"]


def test_a_body_over_the_cap_sent_in_chunks_is_a_413_too(service: TokenService) -> None:
    chunks = (b" " * 1000 for _ in range(400))

    answer = service.token(data=chunks, headers={"Content-Type": "application/json"})

    error_of(answer, 413, "request_too_large")


@pytest.mark.parametrize("body", [b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}!!0\r\n\r\n"])
def test_a_body_in_malformed_chunks_is_the_callers_fault(service: TokenService, body: bytes) -> None:
    connection = HTTPConnection(service.url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/token")
    connection.putheader("Authorization", f"Bearer {sign()}")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders(body)
    with closing(connection):
        answer = connection.getresponse()
        assert answer.status == 400
        assert json.load(answer)["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_not_declared_as_json_is_a_415(app: TokenService, media_type: str | None) -> None:
    headers = {"Content-Type": media_type} if media_type else {}

    error_of(app.token(data=b"{}", headers=headers), 415, "unsupported_media_type")


def test_headers_that_are_too_large_are_refused_in_json(service: TokenService) -> None:
    answer = service.get("/healthz", headers={"X-Large": "x" * 20_000})

    assert answer.status_code == 431
    assert answer.json()["error"]["code"] == "request_header_fields_too_large"


def test_used_up_limits_are_429s_that_say_whose_limit_it_was_and_when_to_come_back(
    strict: TokenService,
) -> None:
    def limited(name: str, jwt: str) -> str:
        answer = strict.token(jwt=jwt)
        message: str = error_of(answer, 429, "rate_limit_exceeded")["message"]
        assert int(answer.headers["Retry-After"]) >= 1
        assert name in message
        return message

    ada, bob, eve = (sign(sub=user, scope="realtime") for user in ("ada", "bob", "eve"))
    assert [strict.token(jwt=jwt).status_code for jwt in (ada, ada, bob, bob, eve)] == [200] * 5
    limited("user", ada)
    limited("global", eve)
    assert [strict.token(jwt="junk").status_code for _ in range(3)] == [401] * 3
    limited("address", "junk")


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("fault-401", 502, "upstream_rejected_credentials"),
        ("fault-500", 502, "upstream_error"),
        ("fault-html", 502, "upstream_error"),
        ("fault-truncated", 502, "upstream_error"),
        ("fault-empty", 502, "upstream_error"),
        ("fault-429", 503, "upstream_rate_limited"),
        ("fault-503", 503, "upstream_unavailable"),
        ("fault-reset", 503, "upstream_unavailable"),
        ("fault-hang", 504, "upstream_timeout"),
        ("fault-drip", 504, "upstream_timeout"),
    ],
)
def test_each_failure_of_the_vendor_is_told_as_one_of_ours(
    faulty: TokenService, model: str, status: int, code: str
) -> None:
    answer = faulty.token({"model": model})

    error_of(answer, status, code)
    assert answer.elapsed.total_seconds() < 3
    if model == "fault-429":
        assert int(answer.headers["Retry-After"]) >= 1


def test_a_vendor_that_cannot_be_reached_is_a_503() -> None:
    error_of(app_in_process(f"http://127.0.0.1:{free_port()}/v1").token(), 503, "upstream_unavailable")


def test_a_limit_storage_that_is_gone_is_a_503_where_the_admin_chose_deny(sandbox: Sandbox) -> None:
    storage = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}", "RATE_LIMIT_ON_STORAGE_FAILURE": "deny"}

    answer = app_in_process(sandbox.base_url, **storage).token()
    error_of(answer, 503, "rate_limit_storage_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_key_set_that_was_never_fetched_is_a_503_and_no_401(sandbox: Sandbox) -> None:
    jwks = {"JWT_SECRET": "", "JWT_JWKS_URL": f"http://127.0.0.1:{free_port()}/jwks.json"}

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    answer = app_in_process(sandbox.base_url, **jwks).token(jwt=sign(key, "RS256", headers={"kid": "one"}))
    error_of(answer, 503, "identity_provider_unavailable")
