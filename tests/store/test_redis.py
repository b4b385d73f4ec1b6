"""One Redis for all features: scripts, failures, queues and clusters."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis, RedisCluster
from redis.exceptions import DataError

from service.auth.revocations import Revocations
from service.calls.redis_registry import RedisCalls
from service.core.errors import RateLimitedError, StorageBusyError, StorageFailureError
from service.store import redis as redis_module
from service.store.protocol import KEY_PREFIX, Script
from service.store.redis import PooledRedis
from tests.limits.test_exactness import statuses_at_once
from tests.support.calls import request
from tests.support.forks import run_command
from tests.support.limits import client, limits, make_store
from tests.support.processes import accepts_connections, free_port, wait_until
from tests.support.redis import RedisServer, running_redis
from tests.support.service import Sandbox, app_in_process, running_service, service_environ
from tests.support.tokens import sign

ECHO = Script("echo", "return {KEYS[1], ARGV[1]}")
KEY = f"{KEY_PREFIX}/test"


def test_a_script_is_given_keys_and_arguments(redis: RedisServer) -> None:
    """Numbers as well as text."""
    store = PooledRedis(redis.url)
    assert store.run(ECHO, [KEY], ["text"]) == [KEY.encode(), b"text"]
    assert store.run(ECHO, [KEY], [7]) == [KEY.encode(), b"7"]
    assert (store.state, store.topology) == ("ok", "single")


def test_one_request_after_the_other_uses_one_connection(own_redis: RedisServer) -> None:
    """Small plans allow 20 connections in all."""
    with Redis(port=own_redis.port) as watcher:
        before = watcher.info("stats")["total_connections_received"]
        store = PooledRedis(own_redis.url)
        for number in range(20):
            store.run(ECHO, [KEY], [number])

        assert watcher.info("stats")["total_connections_received"] == before + 1


def test_a_bug_of_ours_is_not_taken_for_a_lost_storage(redis: RedisServer) -> None:
    """It would give everybody a fresh limit."""
    store = PooledRedis(redis.url)
    with pytest.raises(DataError):
        store.run(ECHO, [KEY], [None])  # type: ignore[list-item]  # the bug
    assert store.state == "ok"


def test_a_failure_is_told_apart_and_the_storage_found_again(own_redis: RedisServer) -> None:
    """The first failure opens the breaker; a script that Redis has forgotten is sent again."""
    store = PooledRedis(own_redis.url)
    store.run(ECHO, [KEY], [1])
    own_redis.kill()
    with pytest.raises(StorageFailureError):
        store.run(ECHO, [KEY], [1])
    assert (store.state, store.probe()) == ("unavailable", "unavailable")
    own_redis.start()
    wait_until(lambda: store.state == "ok", seconds=10, what="the return to Redis")
    assert store.run(ECHO, [KEY], [1])


def test_who_finds_no_free_connection_is_told_so_and_the_breaker_stays_closed(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with ``local``: other processes count in Redis, so counting here would exceed the limit."""
    monkeypatch.setattr(redis_module, "CONNECTION_WAIT", 0.2)
    store = make_store(f"{redis.url}?max_connections=1")
    user = client(limits(store, per_user="5/day"))
    held, release = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        held.set()
        release.wait(10)

    assert isinstance(store, PooledRedis)
    holder = threading.Thread(target=store.call, args=[hold])
    holder.start()
    held.wait(10)
    with pytest.raises(StorageBusyError) as refused:
        user.limits.acquire(user.caller)
    release.set()
    holder.join()
    assert refused.value.code == "rate_limit_storage_unavailable"
    assert refused.value.headers["Retry-After"] == "1"
    assert user.limits.state() == "ok"
    assert user.uses_up() == 5


def test_an_error_and_a_log_line_hold_no_password(caplog: pytest.LogCaptureFixture) -> None:
    """Nor does what is printed of the store."""
    with caplog.at_level(logging.DEBUG):
        store = PooledRedis("redis://user:hunter2@127.0.0.1:1")
        with pytest.raises(StorageFailureError) as refused:
            store.run(ECHO, [KEY], [1])
    assert "hunter2" not in caplog.text + repr(refused.value.reason) + repr(store) + repr(vars(store))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, RedisServer]]:
    """Run a cluster of two nodes, of which the second holds the slot of all our keys."""
    nodes = []
    for _ in range(2):
        folder = str(tmp_path_factory.mktemp("cluster"))
        nodes.append(
            running_redis(
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                str(free_port()),
                "--dir",
                folder,
                "--cluster-config-file",
                str(Path(folder) / "nodes.conf"),
            )
        )
    with nodes[0] as first, nodes[1] as second:
        slot = first.client.execute_command("CLUSTER", "KEYSLOT", KEY_PREFIX)
        others = [0, slot - 1, slot + 1, 16_383]
        first.client.execute_command("CLUSTER", "ADDSLOTSRANGE", *others)
        second.client.execute_command("CLUSTER", "ADDSLOTS", slot)
        bus = int(second.options[second.options.index("--cluster-port") + 1])
        first.client.execute_command("CLUSTER", "MEET", "127.0.0.1", second.port, bus)

        def is_ready() -> bool:
            return all(
                b"cluster_state:ok" in node.client.execute_command("CLUSTER", "INFO")
                and b"cluster_known_nodes:2" in node.client.execute_command("CLUSTER", "INFO")
                for node in (first, second)
            )

        wait_until(is_ready, seconds=20, what="the cluster's readiness")
        yield first, second


def test_a_cluster_behind_a_plain_url_is_recognised_at_its_first_answer(
    cluster: tuple[RedisServer, RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    """No request is lost over it, nothing is logged as a failure, and nobody is counted in the process."""
    for node in cluster:
        node.client.flushall()
    for node, topology in zip(cluster, ("cluster", "single"), strict=True):
        store = make_store(node.url, on_failure="deny")
        user = client(limits(store, per_user="5/day", failed_auth="2/day"))
        user.limits.count_failed_auth("198.51.100.7")
        assert user.uses_up() == 5
        assert store.topology == topology  # type: ignore[union-attr]  # a Redis
    assert "failed" not in caplog.text


def test_requests_that_meet_a_cluster_at_the_same_time_all_find_it(
    cluster: tuple[RedisServer, RedisServer],
) -> None:
    """One that was under way by the plain client while another found the cluster is no failure either."""
    store = PooledRedis(cluster[0].url)

    def read(used: Redis | RedisCluster) -> object:
        if isinstance(used, Redis):
            store.run(ECHO, [KEY], [1])  # the other request, which is told of the cluster first
        return used.get(KEY)

    assert store.call(read) is None
    assert (store.state, store.topology) == ("ok", "cluster")


def test_calls_are_kept_on_a_cluster(cluster: tuple[RedisServer, RedisServer]) -> None:
    """All keys of calls, and what is read with a reservation, are on the node of our hash tag."""
    for node in cluster:
        node.client.flushall()
    store = PooledRedis(cluster[0].url)
    revocations = Revocations(store, max_lifetime=3600, leeway=10)
    registry = RedisCalls(store, opening_seconds=15)
    asked = request()
    until = revocations.revoke(asked.user)
    reservation = registry.reserve(replace(asked, read=f"{KEY_PREFIX}/revoked/{asked.user}"))
    assert float(reservation.value) == until
    opened = registry.record(reservation.call.id, "live_1")
    assert opened is not None
    assert registry.list_calls() == (opened,)
    assert registry.end_user(asked.user, "revoked")
    assert store.topology == "cluster"


def test_waiting_for_a_hung_redis_ends_when_the_first_one_gives_up(own_redis: RedisServer) -> None:
    """The others in the queue are spared the wait."""
    store = PooledRedis(own_redis.url)
    store.run(ECHO, [KEY], [1])
    started = time.monotonic()

    def ask() -> None:
        with pytest.raises(StorageFailureError):
            store.run(ECHO, [KEY], [1])

    with own_redis.hung():
        threads = [threading.Thread(target=ask) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert time.monotonic() - started < 2


@pytest.fixture(scope="module")
def sentinel(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Sentinel that names the shared Redis; gives its URL."""
    folder = tmp_path_factory.mktemp("sentinel")
    config = folder / "sentinel.conf"
    config.write_text(f"sentinel monitor main 127.0.0.1 {redis.port} 1\n")
    port = free_port()
    command = ("redis-server", str(config), "--sentinel", "--port", str(port), "--bind", "127.0.0.1")
    process = subprocess.Popen((*command, "--dir", str(folder)), stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts_connections(port), seconds=10, what="the start of the Sentinel")
        yield f"redis+sentinel://127.0.0.1:{port}/main"
    finally:
        process.terminate()
        process.wait()


def test_the_master_that_sentinels_name_is_used(redis: RedisServer, sentinel: str) -> None:
    """For limits, and for refused credentials over the same pool."""
    redis.client.flushall()
    user = client(limits(make_store(sentinel, on_failure="deny"), per_user="3/day", failed_auth="1/day"))
    assert user.uses_up() == 3
    user.limits.count_failed_auth("198.51.100.7")
    with pytest.raises(RateLimitedError):
        user.limits.count_failed_auth("198.51.100.7")
    assert redis.client.keys("*address*")


def test_check_says_which_kind_of_redis_is_there(
    sandbox: Sandbox,
    redis: RedisServer,
    cluster: tuple[RedisServer, RedisServer],
    sentinel: str,
) -> None:
    """Whatever the URL says: a cluster behind ``redis://`` is one."""
    node, nodes = cluster[0].url, cluster[0].url.replace("redis:", "redis+cluster:")
    for url, kind in (
        (redis.url, ""),
        (node, " (a cluster)"),
        (nodes, " (a cluster)"),
        (sentinel, " (by Sentinel)"),
    ):
        checked = run_command("check", environ=service_environ(sandbox.base_url, REDIS_URL=url))
        assert (checked.returncode, checked.stderr) == (0, "")
        (line,) = [line for line in checked.stdout.splitlines() if "limit storage" in line]
        assert re.fullmatch(rf"✓ limit storage: {re.escape(url + kind)} counts, [\d.]+ ms a round trip", line)


def test_check_says_why_a_redis_cannot_be_used_and_what_to_change(
    sandbox: Sandbox, redis: RedisServer
) -> None:
    """In one line that names the variable, and no password; nothing is printed before it."""
    port = redis.port
    vendors = sandbox.base_url.removeprefix("http://").removesuffix("/v1")
    for url, seen, fix in (
        (f"redis://:canary@127.0.0.1:{port}", "refuses the user name or password", "correct them in"),
        (f"redis://127.0.0.1:{port}/99", "has no such database", "correct the number at the end of"),
        (f"redis+sentinel://127.0.0.1:{port}/main", "is no Sentinel", "correct host and port in"),
        (f"redis+cluster://127.0.0.1:{port}", "is no cluster", "write redis:// in"),
        (f"redis://{vendors}", "is no Redis", "correct host and port in"),
        (f"redis+cluster://127.0.0.1:{free_port()}", "cannot be used", "see that"),
    ):
        checked = run_command("check", environ=service_environ(sandbox.base_url, REDIS_URL=url))
        first, second, *_ = checked.stdout.splitlines()
        assert (checked.returncode, checked.stderr) == (1, "")
        assert first.startswith("✗ limit storage: redis")
        assert second.startswith("✗ calls: none can be opened: ")
        for line in (first, second):
            told, _, advice = line.partition(" → ")
            assert seen in told
            assert advice.startswith(f"{fix} RATE_LIMIT_STORAGE_URL (or REDIS_URL)")
        assert "canary" not in checked.stdout


def test_a_cluster_that_is_away_is_a_lost_storage_and_no_fault_of_ours(sandbox: Sandbox) -> None:
    """The library's error for it is of no kind that its others are; each request would end in a 500."""
    url = f"redis+cluster://127.0.0.1:{free_port()}"
    store = PooledRedis(url)
    with pytest.raises(StorageFailureError):
        store.run(ECHO, [KEY], [1])
    assert store.state == "unavailable"
    assert app_in_process(sandbox.base_url, REDIS_URL=url).token().status_code == 200
    denying = app_in_process(sandbox.base_url, REDIS_URL=url, RATE_LIMIT_ON_STORAGE_FAILURE="deny")
    assert denying.token().json()["error"]["code"] == "rate_limit_storage_unavailable"


@pytest.mark.alone
def test_a_service_that_is_given_a_clusters_node_as_a_plain_redis_counts_exactly(
    sandbox: Sandbox, cluster: tuple[RedisServer, RedisServer]
) -> None:
    """Over its processes, from the first request on, and quietly; here by the tier of one of Cognito's groups.

    All first requests wait for the cluster to be joined, which on a busy machine may take the 0.7 s of a failure.
    """
    for node in cluster:
        node.client.flushall()
    variables = {
        "REDIS_URL": cluster[0].url,
        "WEB_CONCURRENCY": "2",
        "RATE_LIMIT_TIERS": '{"pro": "20/day"}',
        "RATE_LIMIT_TIER_CLAIM": "cognito:groups",
    }
    with running_service(sandbox.base_url, **variables) as service:
        groups = {"cognito:groups": ["eu-west-1_AbCdEfGhI_Google", "pro"]}
        found = statuses_at_once(service, 60, jwt=sign(**groups))
        assert found == {200: 20, 429: 40}, service.run.output
        assert service.get("/readyz").json()["calls"] == "ok"
        levels = {json.loads(line)["level"] for line in service.run.output.splitlines()}
    assert levels == {"info"}
    keys = [key for node in cluster for key in node.client.keys("*")]
    assert keys
    assert all(key.startswith(KEY_PREFIX.encode()) for key in keys)
