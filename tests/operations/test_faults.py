"""Faults survived: what the client gets, that each answer has a secret of its own, and that all is well soon after."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.holding_vendor import holding_vendor
from tests.support.processes import PYTHON, accepts_connections, bare_environ, free_port, running, wait_until
from tests.support.redis import RedisServer, running_redis
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.tokens import sign

FAULTS = {
    "fault-401": (502, "upstream_rejected_credentials", 1),
    "fault-429": (503, "upstream_rate_limited", 1),
    "fault-500": (502, "upstream_error", 1),
    "fault-503": (503, "upstream_unavailable", 2),
    "fault-html": (502, "upstream_error", 1),
    "fault-truncated": (502, "upstream_error", 1),
    "fault-empty": (502, "upstream_error", 1),
    "fault-hang": (504, "upstream_timeout", 1),
    "fault-drip": (504, "upstream_timeout", 1),
    "fault-reset": (503, "upstream_unavailable", 2),
}
"""What the client gets, and how often the vendor was asked: a failure that passes is tried once more."""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Limits shared by several processes."""
    with running_redis() as redis:
        yield redis


def children_of(pid: int) -> list[int]:
    """List a process's children, as Linux tells."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_well(service: TokenService) -> bool:
    """Return whether the service says that it is ready, and mints."""
    try:
        ready, minted = service.get("/readyz"), service.token()
    except requests.ConnectionError:
        return False
    return ready.json()["status"] == "ok" and minted.ok


def recovers(service: TokenService, *, seconds: float = 5) -> None:
    """Wait until all is well again."""
    wait_until(lambda: is_well(service), seconds=seconds, what="recovery")


@contextmanager
def sandbox_on(port: int) -> Iterator[None]:
    """Run the vendor's stand-in where it was before."""
    command = (PYTHON, "-m", "service", "sandbox", "--port", str(port))
    with running(command, environ=bare_environ(), ready=lambda run: "sandbox: " in run.output) as run:
        yield
        run.stop()


class Load:
    """Clients that ask for secrets, one after the other, until told to stop."""

    def __init__(self, service: TokenService, clients: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self.secrets: list[str] = []
        self._service = service
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._clients = [self._pool.submit(self._ask, number) for number in range(clients)]

    def _ask(self, number: int) -> None:
        jwt = sign(sub=f"user-{number}")
        with requests.Session() as session:
            while not self._stop.is_set():
                try:
                    answer = session.post(
                        f"{self._service.url}/token",
                        json={},
                        headers={"Authorization": f"Bearer {jwt}"},
                        timeout=30,
                    )
                except requests.ConnectionError:
                    self.outcomes["cut off"] += 1
                else:
                    self.outcomes[str(answer.status_code)] += 1
                    self.secrets += [answer.json()["value"]] if answer.ok else []

    def has_minted(self, count: int) -> Callable[[], bool]:
        return lambda: len(self.secrets) >= count

    def stop(self) -> None:
        self._stop.set()
        self._pool.shutdown()
        for client in self._clients:
            client.result()


@pytest.fixture(scope="module")
def faulty(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service that allows the sandbox's faults, and does not wait for long."""
    models = ",".join(("gpt-realtime-2.1", *FAULTS))
    with running_service(sandbox.base_url, ALLOWED_MODELS=models, UPSTREAM_TIMEOUT="1") as service:
        yield service


@pytest.mark.parametrize("model", FAULTS)
def test_a_failing_mint_costs_no_secret_and_leaves_everything_working(
    faulty: TokenService, sandbox: Sandbox, model: str
) -> None:
    """The client is told in time, the vendor asked no more than twice, and the next mint succeeds."""
    status, code, attempts = FAULTS[model]
    sandbox.reset()
    answer = faulty.token({"model": model})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.elapsed.total_seconds() < 2
    mints = sandbox.mints()
    assert len(mints) == attempts
    assert not any(mint["minted"] for mint in mints)
    recovers(faulty)


def test_a_vendor_that_hangs_holds_up_nobody_else(faulty: TokenService) -> None:
    """Fifty mints wait in vain; one for another model is answered before the last of them."""
    with ThreadPoolExecutor(50) as pool:
        hanging = [pool.submit(faulty.token, {"model": "fault-hang"}) for _ in range(50)]
        assert faulty.token().ok
        assert not all(future.done() for future in hanging)
        assert {future.result().status_code for future in hanging} == {504}
    recovers(faulty)


def test_a_vendor_that_went_down_is_used_again_as_soon_as_it_is_back() -> None:
    """With 503 in between, and without a restart: connections that died are not used again."""
    port = free_port()
    with sandbox_on(port), ExitStack() as stack:
        service = stack.enter_context(running_service(f"http://127.0.0.1:{port}/v1"))
        with ThreadPoolExecutor(8) as pool:
            assert all(future.result().ok for future in [pool.submit(service.token) for _ in range(8)])
        kept = stack.pop_all()
    with kept:
        answer = service.token()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unavailable")
        assert service.get("/healthz").ok
        with sandbox_on(port):
            assert [service.token().status_code for _ in range(10)] == [200] * 10


def test_a_worker_killed_under_load_costs_its_own_requests_only(sandbox: Sandbox, redis: RedisServer) -> None:
    """Whoever was not with that worker notices nothing; the master starts another one."""
    with running_service(
        sandbox.base_url, WEB_CONCURRENCY="2", REDIS_URL=redis.url, METRICS_TOKEN="a-token-for-metrics"
    ) as service:
        wait_until(lambda: len(children_of(service.run.pid)) == 2, seconds=5, what="two workers")
        load = Load(service, clients=8)
        wait_until(load.has_minted(50), seconds=20, what="load")
        os.kill(children_of(service.run.pid)[0], signal.SIGKILL)
        wait_until(load.has_minted(len(load.secrets) + 100), seconds=20, what="load after the kill")
        load.stop()
        assert set(load.outcomes) <= {"200", "cut off"}
        assert load.outcomes["cut off"] <= 8
        assert len(set(load.secrets)) == len(load.secrets)
        wait_until(lambda: len(children_of(service.run.pid)) == 2, seconds=5, what="a new worker")
        recovers(service)
        numbers = service.get("/metrics", headers={"Authorization": "Bearer a-token-for-metrics"}).text
        assert "\ntoken_service_requests_in_flight 1.0\n" in numbers


@pytest.mark.parametrize("whole_group", [True, False])
def test_a_stop_in_mid_mint_answers_every_request_in_flight(whole_group: bool, redis: RedisServer) -> None:
    """A platform sends SIGTERM to all processes or to the first; each request that came before is answered."""
    with (
        holding_vendor() as vendor,
        running_service(vendor.base_url, WEB_CONCURRENCY="2", REDIS_URL=redis.url) as service,
        ThreadPoolExecutor(30) as pool,
    ):
        wait_until(lambda: len(children_of(service.run.pid)) == 2, seconds=5, what="two workers")
        asked: list[Future[requests.Response]] = [pool.submit(service.token) for _ in range(30)]
        wait_until(lambda: vendor.holding == 30, seconds=10, what="thirty mints in flight")
        group = [service.run.pid, *children_of(service.run.pid)]
        for pid in group if whole_group else group[:1]:
            os.kill(pid, signal.SIGTERM)
        port = int(service.url.rpartition(":")[2])
        wait_until(lambda: not accepts_connections(port), seconds=5, what="the end of new connections")
        told = time.monotonic()
        vendor.release()
        answers = [future.result() for future in asked]
        assert [answer.status_code for answer in answers] == [200] * 30
        assert {answer.json()["value"] for answer in answers} == set(vendor.minted)
        assert len(set(vendor.minted)) == 30
        assert service.run.wait(25) == 0
        assert time.monotonic() - told < 10


def test_an_idle_connection_does_not_delay_a_stop(sandbox: Sandbox) -> None:
    """A router keeps its connections open for minutes, and platforms kill after 30 s."""
    with running_service(sandbox.base_url) as service, requests.Session() as session:
        assert session.get(f"{service.url}/healthz", timeout=10).ok
        service.run.process.terminate()
        assert service.run.wait(15) == 0


def test_a_request_that_a_router_sent_just_before_it_heard_of_the_stop_is_answered(sandbox: Sandbox) -> None:
    """On a connection that was open already; its answer says that there will be no next one."""
    with running_service(sandbox.base_url) as service, requests.Session() as session:
        assert session.get(f"{service.url}/healthz", timeout=10).ok
        port = int(service.url.rpartition(":")[2])
        service.run.process.terminate()
        wait_until(lambda: not accepts_connections(port), seconds=5, what="the end of new connections")
        answer = session.post(
            f"{service.url}/token", json={}, headers={"Authorization": f"Bearer {sign()}"}, timeout=10
        )
        assert answer.ok
        assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("policy", "status", "ready"), [("local", 200, "degraded"), ("deny", 503, "unavailable")]
)
def test_a_redis_that_was_killed_is_used_again_once_it_is_back(
    sandbox: Sandbox, policy: str, status: int, ready: str
) -> None:
    """By the admin's choice limits are kept in each process meanwhile, or nobody is served."""
    with (
        running_redis() as redis,
        running_service(
            sandbox.base_url,
            REDIS_URL=redis.url,
            RATE_LIMIT_ON_STORAGE_FAILURE=policy,
            METRICS_TOKEN="a-token-for-metrics",
        ) as service,
    ):
        assert is_well(service)
        redis.kill()
        answers = [service.token() for _ in range(5)]
        assert {answer.status_code for answer in answers} == {status}
        assert all(answer.elapsed.total_seconds() < 2 for answer in answers)
        readiness = service.get("/readyz")
        assert (readiness.status_code, readiness.json()["status"]) == (status, ready)
        numbers = service.get("/metrics", headers={"Authorization": "Bearer a-token-for-metrics"}).text
        assert f'token_service_limit_storage{{state="{ready}"}} 1.0' in numbers
        redis.start()
        recovers(service)


def test_two_hundred_clients_that_drip_their_headers_hold_up_nobody(service: TokenService) -> None:
    """Each holds a connection and nothing else."""
    port = int(service.url.rpartition(":")[2])
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(200)]
        for letter in b"POST /token HTTP/1.1\r\nX-Slow: ":
            for connection in slow:
                connection.sendall(bytes([letter]))
        answers = [service.token() for _ in range(20)]
        assert all(answer.ok for answer in answers)
        assert max(answer.elapsed.total_seconds() for answer in answers) < 3
        for connection in slow:
            connection.sendall(b"a")
    recovers(service)


def test_a_flood_of_bad_tokens_locks_out_its_own_kind_only(sandbox: Sandbox) -> None:
    """The address used up its share of refusals; a good token from that same address is served as ever."""
    with (
        running_service(sandbox.base_url, RATE_LIMIT_FAILED_AUTH="20/hour") as service,
        ThreadPoolExecutor(8) as pool,
    ):
        flood = [pool.submit(service.token, jwt=sign(key="x" * 32, sub=f"eve-{n}")) for n in range(400)]
        good = [service.token() for _ in range(10)]
        assert Counter(future.result().status_code for future in flood) == {401: 20, 429: 380}
        assert all(answer.ok for answer in good)
        assert max(answer.elapsed.total_seconds() for answer in good) < 3
        recovers(service)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b" " * 10_000_000, 413, "request_too_large"),
        (b'{"session":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001, 400, "invalid_json"),
        (b'{"session": ' + b"[" * 60_000, 400, "invalid_json"),
        (b'{"model": "\xff\xfe"}', 400, "invalid_json"),
        (b'{"model": "\\ud800"}', 400, "invalid_json"),
    ],
    ids=["10 MB", "deep objects", "deep lists", "invalid UTF-8", "lone surrogate"],
)
def test_a_hostile_body_is_refused_before_anything_is_spent(
    service: TokenService, sandbox: Sandbox, body: bytes, status: int, code: str
) -> None:
    """Neither a quota nor a secret, and the connection is not reset."""
    sandbox.reset()
    # Where a connection goes on, gunicorn itself reads the rest of a body before the next request.
    headers = {"Content-Type": "application/json", "Connection": "close"}
    answer = service.token(data=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert sandbox.mints() == []
    recovers(service)


def test_a_client_that_leaves_in_mid_mint_harms_nobody(redis: RedisServer) -> None:
    """Its secret is minted for nothing, and nobody else gets it."""
    with holding_vendor() as vendor, running_service(vendor.base_url, REDIS_URL=redis.url) as service:
        port = int(service.url.rpartition(":")[2])
        head = f"POST /token HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sign()}\r\n"
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode()
            )
            wait_until(lambda: vendor.holding == 1, seconds=5, what="the mint")
        vendor.release()
        answer = service.token()
        assert answer.json()["value"] == "ek_held_1"
        recovers(service)
