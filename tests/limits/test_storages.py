"""Storages beyond a plain Redis: encrypted ones, Valkey's URLs, Unix sockets and clusters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.core.errors import RateLimitedError, RateLimitStorageUnavailableError
from service.sandbox.tls import write_certificate
from tests.limits.test_exactness import admitted_at_once
from tests.support.limits import STRATEGIES, client, limits, make_store
from tests.support.processes import free_port, wait_until
from tests.support.redis import RedisServer, running_redis


@pytest.fixture(scope="module")
def encrypted_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Redis whose certificate no known authority signed, as Heroku's."""
    certificate = write_certificate(tmp_path_factory.mktemp("certificate"))
    port = free_port()
    with running_redis(
        *(
            "--tls-port",
            str(port),
            "--tls-auth-clients",
            "no",
            "--tls-ca-cert-file",
            str(certificate.authority),
        ),
        *("--tls-cert-file", str(certificate.chain), "--tls-key-file", str(certificate.key)),
    ):
        yield f"rediss://127.0.0.1:{port}"


def test_herokus_certificate_is_taken_on_heroku(encrypted_url: str) -> None:
    """It is self-signed, so there is nothing to verify it by."""
    user = client(limits(encrypted_url, dyno="web.1", per_user="3/day", on_storage_failure="deny"))
    assert user.uses_up() == 3


def test_everywhere_else_certificates_are_verified(encrypted_url: str) -> None:
    """Else anybody on the way could answer for Redis."""
    user = client(limits(encrypted_url, on_storage_failure="deny"))
    with pytest.raises(RateLimitStorageUnavailableError):
        user.limits.acquire(user.caller)


def test_the_url_may_say_not_to_verify(encrypted_url: str) -> None:
    """For other hosts with certificates of their own making."""
    url = f"{encrypted_url}?ssl_cert_reqs=none"
    assert client(limits(url, per_user="3/day", on_storage_failure="deny")).uses_up() == 3


def test_valkey_is_spoken_to_as_redis(redis: RedisServer) -> None:
    """Its protocol is the same, and no further package is needed."""
    url = redis.url.replace("redis://", "valkey://")
    assert client(limits(url, per_user="3/day", on_storage_failure="deny")).uses_up() == 3


def test_redis_may_listen_on_a_unix_socket(tmp_path: Path) -> None:
    """As on a host of one's own."""
    with running_redis("--unixsocket", str(tmp_path / "socket")):
        url = f"redis+unix://{tmp_path}/socket"
        assert client(limits(url, per_user="3/day", on_storage_failure="deny")).uses_up() == 3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a cluster of one node."""
    folder = str(tmp_path_factory.mktemp("cluster"))
    nodes_talk_on = ("--cluster-port", str(free_port()))
    with running_redis("--cluster-enabled", "yes", *nodes_talk_on, "--dir", folder) as server:
        server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(
            lambda: b"cluster_state:ok" in server.client.execute_command("CLUSTER", "INFO"),
            seconds=10,
            what="the cluster's readiness",
        )
        yield server


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_cluster_counts_exactly(cluster: RedisServer, strategy: str) -> None:
    """All keys have one hash tag, so one script reaches them all."""
    store = make_store(f"redis+cluster://127.0.0.1:{cluster.port}", on_failure="deny")
    user = client(limits(store, per_user="20/day", strategy=strategy))
    assert admitted_at_once([user] * 60) == 20
    assert store.topology == "cluster"


def test_refused_credentials_are_counted_on_a_cluster_too(cluster: RedisServer) -> None:
    """By our own script, since the library cannot share a cluster's pools."""
    cluster.client.flushall()
    rate_limits = limits(
        f"redis+cluster://127.0.0.1:{cluster.port}", failed_auth="2/day", on_storage_failure="deny"
    )
    for _ in range(2):
        rate_limits.count_failed_auth("198.51.100.7")
    with pytest.raises(RateLimitedError):
        rate_limits.count_failed_auth("198.51.100.7")
