"""What machines ask: alive, ready, the numbers; right over several processes, and for those who may."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from service.core.errors import InvalidTokenError, RejectedSessionError
from service.core.model import Record
from service.observe.metrics import Metrics
from tests.support.identity_provider import identity_provider
from tests.support.processes import ROOT, free_port, wait_until
from tests.support.redis import running_redis
from tests.support.service import GUNICORN, Sandbox, TokenService, running_service, service_environ
from tests.support.tokens import sign

METRICS_TOKEN = "a-token-for-prometheus"
MODELS = "gpt-realtime-2.1,gpt-realtime-2.1-mini,fault-500,fault-hang"


@pytest.fixture(scope="module")
def pair(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service of two processes."""
    with (
        running_redis() as redis,
        running_service(
            sandbox.base_url,
            WEB_CONCURRENCY="2",
            REDIS_URL=redis.url,
            METRICS_TOKEN=METRICS_TOKEN,
            ALLOWED_MODELS=MODELS,
        ) as service,
    ):
        wait_until(lambda: len(workers_of(service)) == 2, seconds=10, what="two workers")
        yield service


def workers_of(service: TokenService) -> set[int]:
    """List the service's worker processes, as Linux tells."""
    pid = service.run.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def metrics_files(pid: int) -> list[Path]:
    """Find where a process keeps its numbers."""
    roots = (Path("/dev/shm"), Path("/tmp"))  # noqa: S108 - where the service keeps them
    return [path for root in roots for path in root.glob(f"token-service-metrics-*/counter_{pid}.db")]


def number(service: TokenService, name: str, **labels: str) -> float:
    """Scrape one sample; 0 where it was never counted."""
    answer = service.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    wanted = (f"token_service_{name}", labels)
    return next((sample.value for sample in samples if (sample.name, sample.labels) == wanted), 0)


def test_counts_are_sums_whichever_process_is_asked(pair: TokenService) -> None:
    """Both processes minted, and each scrape, of either, tells the sum."""
    mini = {"session_type": "realtime", "model": "gpt-realtime-2.1-mini"}

    minted = 0
    for _ in range(20):
        with ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(pair.token, {"model": mini["model"]}) for _ in range(20)]
        minted += sum(answer.result().ok for answer in answers)
        if all(metrics_files(pid) for pid in workers_of(pair)):
            break
    else:
        pytest.fail("one process had nothing to do")
    assert {number(pair, "mints_total", **mini) for _ in range(8)} == {minted}


def test_durations_are_counted_by_route_and_by_what_came_of_the_mint(pair: TokenService) -> None:
    """An alarm on the vendor's latency must not be fooled by refusals that never reached it."""
    before = number(pair, "upstream_seconds_count", outcome="minted")
    failed = number(pair, "upstream_seconds_count", outcome="upstream_error")
    asked = number(pair, "request_seconds_count", route="/token")
    assert pair.token().status_code == 200
    assert pair.token({"model": "fault-500"}).status_code == 502
    assert pair.token(jwt="junk").status_code == 401
    assert number(pair, "upstream_seconds_count", outcome="minted") == before + 1
    assert number(pair, "upstream_seconds_count", outcome="upstream_error") == failed + 1
    assert number(pair, "request_seconds_count", route="/token") == asked + 3
    assert number(pair, "request_seconds_bucket", route="/token", le="20.0") == asked + 3


def test_refusals_are_counted_by_code(pair: TokenService) -> None:
    """One counter a code of the contract's table."""
    before = number(pair, "refusals_total", code="model_not_allowed")
    assert pair.token({"model": "gpt-4o"}).status_code == 403
    assert number(pair, "refusals_total", code="model_not_allowed") == before + 1


def test_the_scrape_itself_is_the_one_request_in_flight(pair: TokenService) -> None:
    """Requests that ended do not linger in the gauge, whichever way they ended."""
    for path in ("/nope", "/healthz", "/token"):
        pair.get(path)
    assert number(pair, "requests_in_flight") == 1
    assert number(pair, "limit_storage", state="ok") == 1
    assert number(pair, "limit_storage", state="degraded") == 0


def test_callers_cannot_make_new_labels(pair: TokenService) -> None:
    """Methods, paths, models and the vendor's codes come from outside; what they count under does not."""

    def series() -> set[str]:
        headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        lines = pair.get("/metrics", headers=headers).text.splitlines()
        return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

    def disturb(number: int) -> None:
        pair.get(f"/nope/{number}?x={number}")
        pair.token({"model": f"model-{number}"})
        pair.token({f"member-{number}": 1})
        pair.token({"session": {f"member_{number}": 1}})
        pair.post(f"/token/{number}")

    disturb(0)
    series()  # is a request as well, and counted once it is answered
    before = series()
    for number in range(1, 20):
        disturb(number)
    assert series() == before


def test_the_vendors_own_codes_count_as_one() -> None:
    """There may be as many as it likes."""
    metrics = Metrics()
    for code in ("invalid_voice", "unknown_thing", None):
        metrics.write(Record(event="mint", error=RejectedSessionError("no", code=code)))
    metrics.write(Record(event="mint", error=InvalidTokenError("expired")))
    text = metrics.exposition().decode()
    assert 'refusals_total{code="rejected_session"} 2.0' in text
    assert 'refusals_total{code="invalid_request"} 1.0' in text
    assert 'refusals_total{code="invalid_token"} 1.0' in text
    assert "invalid_voice" not in text


def test_dead_processes_keep_their_counts_and_lose_their_requests_in_flight(pair: TokenService) -> None:
    """What was counted stays counted; what they were answering is not in flight any more."""
    before = number(pair, "mints_total", session_type="realtime", model="gpt-realtime-2.1")
    assert pair.token().ok
    with ThreadPoolExecutor(6) as pool:
        hanging = [pool.submit(pair.token, {"model": "fault-hang"}) for _ in range(6)]
        wait_until(lambda: number(pair, "requests_in_flight") == 7, seconds=5, what="six requests in flight")
        victims = workers_of(pair)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        assert all(isinstance(future.exception(), requests.ConnectionError) for future in hanging)
    wait_until(
        lambda: len(workers_of(pair)) == 2 and not victims & workers_of(pair), seconds=10, what="new workers"
    )
    assert number(pair, "requests_in_flight") == 1
    assert number(pair, "mints_total", session_type="realtime", model="gpt-realtime-2.1") == before + 1


@pytest.mark.parametrize(
    ("jwt", "code"),
    [
        ("", "missing_token"),
        ("wrong", "invalid_token"),
        (METRICS_TOKEN + "x", "invalid_token"),
        (sign(), "invalid_token"),
    ],
)
def test_the_numbers_are_for_prometheus_alone(pair: TokenService, jwt: str, code: str) -> None:
    """Not even for users of the service."""
    answer = pair.get("/metrics", headers={"Authorization": f"Bearer {jwt}"} if jwt else {})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == code
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "token_service" not in answer.text


def test_who_guesses_the_token_for_metrics_is_counted_and_logged(sandbox: Sandbox) -> None:
    """As every refused credential is; Prometheus itself is neither."""
    with running_service(
        sandbox.base_url, METRICS_TOKEN=METRICS_TOKEN, RATE_LIMIT_FAILED_AUTH="2/hour"
    ) as service:
        statuses = [
            service.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code
            for token in ("guess", METRICS_TOKEN, "another-guess", "a-third-guess", METRICS_TOKEN)
        ]
        assert service.token(jwt="junk").status_code == 429
        log = service.run.output
    assert statuses == [401, 200, 401, 429, 200]
    lines = [json.loads(line) for line in log.splitlines() if '"/metrics"' in line]
    assert [line["code"] for line in lines] == ["invalid_token", "invalid_token", "rate_limit_exceeded"]
    assert lines[0]["reason"] == "the bearer token is not METRICS_TOKEN"
    assert "guess" not in log


def test_without_a_metrics_token_there_are_no_numbers(service: TokenService) -> None:
    """Rather than numbers for everybody."""
    assert service.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


def test_numbers_leave_nothing_behind(sandbox: Sandbox) -> None:
    """The files go with the service."""
    with running_service(sandbox.base_url, METRICS_TOKEN=METRICS_TOKEN) as service:
        assert service.token().ok
        (files,) = metrics_files(next(iter(workers_of(service))))
        assert files.exists()
        service.run.stop()
    assert not files.parent.exists()


def test_a_start_that_fails_leaves_no_numbers_behind_either(sandbox: Sandbox) -> None:
    """Such as one whose port is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environ = service_environ(sandbox.base_url, METRICS_TOKEN=METRICS_TOKEN, PORT=port)
        with subprocess.Popen(
            [*GUNICORN, "wsgi:app"], cwd=ROOT, env=environ, stderr=subprocess.PIPE
        ) as process:
            assert process.wait(30) != 0
    roots = (Path("/dev/shm"), Path("/tmp"))  # noqa: S108 - where the service keeps them
    assert not [path for root in roots for path in root.glob(f"token-service-metrics-{process.pid}-*")]


def test_a_living_process_says_so(service: TokenService) -> None:
    """Without a token, and without asking anybody."""
    answer = service.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_service_that_can_mint_is_ready(service: TokenService) -> None:
    """Limits can be counted and tokens verified."""
    answer = service.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "limit_storage": "ok", "key_set": "ok", "calls": "ok"}


def test_a_storage_that_is_away_from_the_start_is_noticed_before_the_first_caller(sandbox: Sandbox) -> None:
    """The question itself asks the storage."""
    url = f"redis://127.0.0.1:{free_port()}"
    for policy, status, ready in (("local", 200, "degraded"), ("deny", 503, "unavailable")):
        with running_service(
            sandbox.base_url, REDIS_URL=url, RATE_LIMIT_ON_STORAGE_FAILURE=policy
        ) as service:
            answer = service.get("/readyz")
            assert (answer.status_code, answer.json()["status"]) == (status, ready)


def test_without_a_key_set_the_service_is_not_ready(sandbox: Sandbox) -> None:
    """No token could be verified."""
    jwks = f"http://127.0.0.1:{free_port()}/jwks.json"
    with running_service(sandbox.base_url, JWT_SECRET="", JWT_JWKS_URL=jwks) as service:
        answer = service.get("/readyz")
        assert answer.status_code == 503
        keys = {"status": "unavailable", "limit_storage": "ok", "key_set": "unavailable"}
        assert answer.json() == {**keys, "calls": "ok"}


@pytest.mark.parametrize(
    "variables",
    [
        {"AUTH_PROVIDER": "supabase:abcdefghijklmnopqrst", "JWT_ISSUER": ""},
        {"JWT_ALLOW_MULTIPLE": "1"},
    ],
    ids=["Supabase's legacy secret", "two sources"],
)
def test_configured_keys_without_a_key_set_are_ready_and_degraded(
    sandbox: Sandbox, variables: dict[str, str]
) -> None:
    """A Supabase project that signs with its legacy secret publishes a key set without keys."""
    with identity_provider() as provider:
        provider.serve({"keys": []})
        with running_service(sandbox.base_url, **variables, JWT_JWKS_URL=provider.url) as service:
            answer = service.get("/readyz")
    assert answer.status_code == 200
    found = {"status": "degraded", "limit_storage": "ok", "key_set": "degraded", "calls": "ok"}
    assert answer.json() == found


def test_probes_cost_no_quota_and_no_line_at_info(sandbox: Sandbox) -> None:
    """A balancer asks every few seconds, for ever."""
    with running_service(
        sandbox.base_url, RATE_LIMIT_GLOBAL="2/hour", RATE_LIMIT_PER_USER="2/hour"
    ) as service:
        for _ in range(5):
            assert service.get("/healthz").ok
            assert service.get("/readyz").ok
        assert [service.token().status_code for _ in range(3)] == [200, 200, 429]
        lines = [json.loads(line) for line in service.run.output.splitlines()]
        assert {line["route"] for line in lines if line["event"] == "request"} == {"/token"}


def test_a_request_can_be_followed_from_its_answer_through_the_log_to_the_vendor(sandbox: Sandbox) -> None:
    """One id in the answer, the request line and the audit event; the vendor's own beside it."""
    with running_service(sandbox.base_url) as service:
        answer = service.token(headers={"X-Request-Id": "router-123"})
        lines = [json.loads(line) for line in service.run.output.splitlines()]
    assert answer.headers["X-Request-Id"] == "router-123"
    mine = {line["event"]: line for line in lines if line.get("request_id") == "router-123"}
    assert set(mine) == {"mint", "request"}
    assert mine["mint"]["session_id"] == answer.json()["session"]["id"]
    assert mine["mint"]["upstream_request_id"].startswith("req_")
    assert mine["mint"]["user"] == mine["request"]["user"]
    assert mine["request"]["ms"] >= mine["request"]["upstream_ms"] > 0


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "é"])
def test_an_unusable_request_id_is_replaced(service: TokenService, given: str) -> None:
    """It would be written into logs and headers."""
    answer = service.get("/healthz", headers={"X-Request-Id": given.encode()})
    assert len(answer.headers["X-Request-Id"]) == 32
