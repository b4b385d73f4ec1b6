"""One exchange within one deadline: what the vendor is sent, and what becomes of its answers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.service import API_KEY, TokenService, running_service
from tests.support.tokens import sign
from tests.support.vendor import GOOD, SECRET, Answer, Vendor, scripted_vendor

ACCOUNT = {"OPENAI_ORG_ID": "org-acme", "OPENAI_PROJECT_ID": "proj_acme"}


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    """A vendor that does what a test tells it to."""
    with scripted_vendor() as vendor:
        yield vendor


@pytest.fixture(scope="module")
def service(vendor: Vendor) -> Iterator[TokenService]:
    """A service of an account with an organisation and a project."""
    with running_service(vendor.base_url, **ACCOUNT) as service:
        yield service


def test_the_vendor_is_sent_the_session_the_anchor_and_who_asks(
    vendor: Vendor, service: TokenService
) -> None:
    vendor.will(Answer())

    assert service.token({"expires_after": {"seconds": 30}}).status_code == 200
    [(path, headers, body)] = vendor.requests
    assert path == "/v1/realtime/client_secrets"
    assert headers["authorization"] == f"Bearer {API_KEY}"
    assert headers["openai-organization"] == "org-acme"
    assert headers["openai-project"] == "proj_acme"
    assert "openai-beta" not in headers
    assert body == {
        "expires_after": {"anchor": "created_at", "seconds": 30},
        "session": {"type": "realtime", "model": "gpt-realtime-2.1"},
    }


def test_the_safety_identifier_is_stable_for_a_user_short_and_no_plain_hash(
    vendor: Vendor, service: TokenService
) -> None:
    vendor.will(Answer())

    for user in ("ada@example.com", "ada@example.com", "bob@example.com"):
        service.token(jwt=sign(sub=user))
    first, again, other = (headers["openai-safety-identifier"] for _, headers, _ in vendor.requests)
    assert first == again != other
    assert len(first) == 64
    assert "ada" not in first


def test_the_callers_answer_is_the_vendors_with_a_connection(vendor: Vendor, service: TokenService) -> None:
    vendor.will(Answer())

    answer = service.token().json()
    connection = answer.pop("connection")
    assert answer == {
        "value": SECRET,
        "expires_at": 4_102_444_800,
        "session": {"type": "realtime", "id": "sess_scripted"},
    }
    socket = vendor.base_url.replace("http", "ws", 1)
    assert connection == {
        "url": f"{socket}/realtime?model=gpt-realtime-2.1",
        "protocols": [
            "realtime",
            f"openai-insecure-api-key.{SECRET}",
            "openai-organization.org-acme",
            "openai-project.proj_acme",
        ],
        "calls_url": f"{vendor.base_url}/realtime/calls",
    }


@pytest.mark.parametrize("failure", [*map(Answer, (502, 503, 504, 520, 524, 530)), Answer(None)])
def test_a_failure_that_passes_is_tried_once_more(
    vendor: Vendor, service: TokenService, failure: Answer
) -> None:
    vendor.will(failure, Answer())

    assert service.token().status_code == 200
    assert len(vendor.requests) == 2


@pytest.mark.parametrize("failure", [*map(Answer, (502, 503, 504, 520, 524, 530)), Answer(None)])
def test_a_failure_that_stays_is_given_up_after_the_second_try(
    vendor: Vendor, service: TokenService, failure: Answer
) -> None:
    vendor.will(failure)

    answer = service.token()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert len(vendor.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 519, 531])
def test_a_refusal_is_not_tried_again(vendor: Vendor, service: TokenService, status: int) -> None:
    vendor.will(Answer(status, b"{}"))

    assert service.token().status_code in {502, 503}
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_with_our_key(vendor: Vendor, service: TokenService, status: int) -> None:
    with scripted_vendor() as elsewhere:
        vendor.will(Answer(status, headers={"Location": f"{elsewhere.base_url}/realtime/client_secrets"}))

        answer = service.token()
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
        assert not elsewhere.requests


@pytest.mark.parametrize("status", [401, 403])
def test_a_vendor_that_refuses_our_key_alarms_the_log_and_tells_the_caller_nothing(
    vendor: Vendor, service: TokenService, status: int
) -> None:
    body = f'{{"error": {{"message": "Incorrect API key: {API_KEY}", "code": "invalid_api_key"}}}}'
    vendor.will(Answer(status, body.encode()))

    answer = service.token()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_rejected_credentials")
    assert "Incorrect" not in answer.text
    alarm = next(line for line in reversed(service.run.output.splitlines()) if '"level":"error"' in line)
    assert answer.headers["X-Request-Id"] in alarm
    assert API_KEY not in service.run.output


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_the_vendors_words_of_a_refusal_are_in_the_log_without_our_key(
    vendor: Vendor, service: TokenService, status: int
) -> None:
    """As far as they say what to do; the caller does not learn them."""
    masked = "sk-te****************cdef"
    words = f"Your project {status} lacks access with {API_KEY} ({masked})."
    vendor.will(Answer(status, json.dumps({"error": {"message": words, "code": "model_not_found"}}).encode()))

    answer = service.token()
    assert answer.status_code == 502
    assert "lacks access" not in answer.text
    line = next(
        line for line in reversed(service.run.output.splitlines()) if f"project {status} lacks" in line
    )
    assert json.loads(line)["reason"].endswith(f"Your project {status} lacks access with *** (***).")
    assert API_KEY not in service.run.output
    assert masked not in service.run.output


@pytest.mark.parametrize("code", ["organization_rate_limit_exceeded", "rate_limit_exceeded"])
def test_a_rate_limit_of_the_account_is_no_missing_credit(
    vendor: Vendor, service: TokenService, code: str
) -> None:
    vendor.will(Answer(429, json.dumps({"error": {"message": "Slow down.", "code": code}}).encode(), {}))

    assert service.token().json()["error"]["code"] == "upstream_rate_limited"


@pytest.mark.parametrize("status", [400, 402, 403, 429, 503])
@pytest.mark.parametrize(
    "code",
    [
        "insufficient_quota",
        "credit_balance_exhausted",
        "project_spend_limit_exceeded",
        "organization_spend_limit_exceeded",
        "organization_spend_cap_reached",
        "project_balance_exhausted",
        "billing_hard_limit_reached",
    ],
)
def test_an_account_without_credit_is_an_alarm_and_nothing_to_try_again(
    vendor: Vendor, service: TokenService, status: int, code: str
) -> None:
    body = json.dumps({"error": {"message": "You exceeded your current quota.", "type": "x", "code": code}})
    vendor.will(Answer(status, body.encode(), {"retry-after": "7"}))

    answer = service.token()
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (
        503,
        "upstream_quota_exhausted",
        "upstream_error",
    )
    assert "current quota" not in answer.text
    assert "Retry-After" not in answer.headers
    assert answer.headers["x-should-retry"] == "false"
    request_id = answer.headers["X-Request-Id"]
    lines = [json.loads(line) for line in service.run.output.splitlines() if request_id in line]
    [alarm] = [line for line in lines if line["level"] == "error"]
    assert (alarm["event"], alarm["code"]) == ("mint", "upstream_quota_exhausted")
    assert code in alarm["reason"]


def test_a_quota_that_is_only_busy_is_tried_again_later(vendor: Vendor, service: TokenService) -> None:
    vendor.will(Answer(429, b'{"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}'))

    answer = service.token()
    assert answer.json()["error"]["code"] == "upstream_rate_limited"
    assert "x-should-retry" not in answer.headers


def test_an_account_without_credit_is_a_metric(vendor: Vendor) -> None:
    token = "a-token-for-prometheus"
    vendor.will(Answer(429, b'{"error": {"message": "No.", "code": "insufficient_quota"}}'))

    with running_service(vendor.base_url, METRICS_TOKEN=token) as service:
        service.token()
        numbers = service.get("/metrics", headers={"Authorization": f"Bearer {token}"}).text
    assert 'token_service_refusals_total{code="upstream_quota_exhausted"} 1.0' in numbers


def test_a_key_in_the_vendors_words_does_not_reach_the_caller(vendor: Vendor, service: TokenService) -> None:
    body = f'{{"error": {{"message": "Bad session for {API_KEY}.", "param": "session", "code": "bad"}}}}'
    vendor.will(Answer(400, body.encode()))

    error = service.token().json()["error"]
    assert error == {
        "message": "Bad session for ***.",
        "type": "invalid_request_error",
        "param": "session",
        "code": "bad",
    }


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, "7"),
        ({"retry-after-ms": "1500"}, "2"),
        ({"retry-after": "1000000000"}, "600"),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_vendors_wait_is_passed_on_where_it_names_one(
    vendor: Vendor, service: TokenService, headers: dict[str, str], seconds: str | None
) -> None:
    vendor.will(Answer(429, b"{}", headers))

    answer = service.token()
    assert answer.json()["error"]["code"] == "upstream_rate_limited"
    assert answer.headers.get("Retry-After") == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"value": "ek_x", "expires_at": 9, "session": {"speed": NaN}}',
        b'{"value": ""}',
        b'{"value": "ek_x", "session": {}}',
        b"[" * 100_000,
        b"\xff",
    ],
    ids=["empty", "list", "no members", "not a number", "empty value", "no expiry", "deep", "not UTF-8"],
)
def test_an_answer_without_a_usable_secret_is_a_502(
    vendor: Vendor, service: TokenService, body: bytes
) -> None:
    vendor.will(Answer(200, body))

    answer = service.token()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")


@pytest.mark.parametrize("value", ["ek_\ud800", "ek_\r\n", "ek_\x00"], ids=ascii)
def test_a_secret_that_no_header_can_carry_is_a_502(
    vendor: Vendor, service: TokenService, value: str
) -> None:
    """And never a 500, which a lone surrogate was."""
    vendor.will(Answer(200, json.dumps({**json.loads(GOOD), "value": value}).encode()))

    answer = service.token()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")


def test_our_key_in_an_answer_is_a_502_and_an_alarm(vendor: Vendor, service: TokenService) -> None:
    session = {"type": "realtime", "instructions": f"Use {API_KEY}."}
    vendor.will(Answer(200, json.dumps({**json.loads(GOOD), "session": session}).encode()))

    answer = service.token()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert API_KEY not in answer.text
    alarms = [line for line in service.run.output.splitlines() if '"level":"error"' in line]
    assert answer.headers["X-Request-Id"] in alarms[-1]
    assert "replace it" in alarms[-1]
    assert API_KEY not in service.run.output


def test_a_secret_of_another_request_is_a_502_with_its_connection(vendor: Vendor) -> None:
    """Its session is of another type, or for another of our models."""
    mini = {"type": "realtime", "model": "gpt-realtime-2.1-mini"}
    models = "gpt-realtime-2.1,gpt-realtime-2.1-mini"
    with running_service(vendor.base_url, ALLOWED_MODELS=models) as service:
        for session in (mini, {"type": "transcription"}):
            vendor.will(Answer())
            assert service.token().status_code == 200
            before = vendor.connections
            vendor.will(Answer(200, json.dumps({**json.loads(GOOD), "session": session}).encode()))
            answer = service.token()
            assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
            assert len(vendor.requests) == 1
            assert vendor.connections == before
            vendor.will(Answer())
            assert service.token().status_code == 200
            assert vendor.connections == before + 1
        vendor.will(Answer(200, json.dumps({**json.loads(GOOD), "session": mini}).encode()))
        assert service.token({"model": "gpt-realtime-2.1-mini"}).status_code == 200


def test_the_first_answer_of_a_connection_is_taken_as_it_is(vendor: Vendor) -> None:
    """It belongs to no other request; a stand-in may have one answer for all."""
    models = "gpt-realtime-2.1,gpt-realtime-2.1-mini"
    vendor.will(Answer(headers={"Connection": "close"}))
    with running_service(vendor.base_url, ALLOWED_MODELS=models) as service:
        for body in (
            {},
            {"model": "gpt-realtime-2.1-mini"},
            {"session": {"type": "translation", "model": "gpt-realtime-2.1"}},
        ):
            answer = service.token(body)
            assert (answer.status_code, answer.json()["session"]) == (200, json.loads(GOOD)["session"])


def test_a_netrc_does_not_replace_our_key(vendor: Vendor, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login eve password canary\n")
    netrc.chmod(0o600)
    vendor.will(Answer())

    with running_service(vendor.base_url, HOME=str(home)) as service:
        assert service.token().status_code == 200
    [(_, headers, _)] = vendor.requests
    assert headers["authorization"] == f"Bearer {API_KEY}"


def test_one_connection_serves_many_mints(vendor: Vendor, service: TokenService) -> None:
    vendor.will(Answer())
    service.token()
    before = vendor.connections

    assert [service.token().status_code for _ in range(20)] == [200] * 20
    assert len(vendor.requests) == 21
    assert vendor.connections == before
