"""Storages beyond a plain Redis: encrypted ones, Valkey's URLs, Unix sockets and clusters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.core.errors import RateLimitStorageUnavailableError
from service.limits.counter import StrategyCounter
from service.sandbox.tls import write_certificate
from tests.limits.test_exactness import admitted_at_once
from tests.support.limits import STRATEGIES, client, limits
from tests.support.processes import free_port, wait_until
from tests.support.redis import RedisServer, running_redis


@pytest.fixture(scope="module")
def encrypted_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Redis whose certificate nobody vouches for, as Heroku's."""
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
    user = client(limits(encrypted_url, on_heroku=True, per_user="3/day", on_storage_failure="deny"))
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
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
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
        yield f"redis+cluster://127.0.0.1:{server.port}"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_cluster_counts_window_by_window(cluster_url: str, strategy: str) -> None:
    """Its keys lie on several nodes and one script reaches one: fewer may be admitted at once, never more."""
    user = client(limits(cluster_url, per_user="20/day", strategy=strategy, on_storage_failure="deny"))
    assert type(user.limits.counter._primary) is StrategyCounter
    assert admitted_at_once([user] * 60) <= 20
    other = client(user.limits)
    assert other.uses_up() == 20
