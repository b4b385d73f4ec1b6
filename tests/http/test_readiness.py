"""Who asks whether the service is ready costs it next to nothing, however many they are."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from service.auth.jwks import MAX_WAITING, JwksKeys
from service.auth.jwks_fetch import KeySetLocation
from service.core.errors import IdentityProviderUnavailableError
from service.core.model import StorageState
from service.http.probes import Readiness, Watched
from service.limits.limiter import RateLimits
from service.observe.metrics import NullMetrics
from service.vendors.network import Network
from tests.support.limits import Clock
from tests.support.processes import wait_until
from tests.support.service import Sandbox, running_service
from tests.support.tokens import sign

OK = {"status": "ok", "limit_storage": "ok", "key_set": "ok", "calls": "off"}


@dataclass
class Storage:
    """Limits whose storage is looked at: how often, and with what result."""

    found: StorageState = "ok"
    known: StorageState = "degraded"
    looks: int = 0
    may_end: threading.Event = field(default_factory=threading.Event)

    def probe(self) -> StorageState:
        self.looks += 1
        self.may_end.wait(10)
        self.known = self.found
        return self.found

    def state(self) -> StorageState:
        return self.known


def readiness(storage: Storage, clock: Clock | None = None, *key_sets: JwksKeys) -> Readiness:
    return Readiness(Watched(cast("RateLimits", storage), key_sets, NullMetrics()), clock or Clock())


def test_the_answer_is_shared_for_a_second() -> None:
    storage, clock = Storage(), Clock()
    storage.may_end.set()
    ready = readiness(storage, clock)
    assert [ready.ask() for _ in range(50)] == [OK] * 50
    assert storage.looks == 1
    clock.seconds, storage.found = 1.0, "unavailable"
    assert [ready.ask()["status"] for _ in range(50)] == ["unavailable"] * 50
    assert storage.looks == 2


def test_a_storage_that_requests_have_met_in_another_state_is_looked_at_again() -> None:
    storage = Storage()
    storage.may_end.set()
    ready = readiness(storage)
    assert ready.ask() == OK
    storage.known = storage.found = "unavailable"
    assert [ready.ask()["status"] for _ in range(50)] == ["unavailable"] * 50
    assert storage.looks == 2


def test_while_one_looks_others_are_told_what_was_found_before() -> None:
    storage, clock = Storage(), Clock()
    storage.may_end.set()
    ready = readiness(storage, clock)
    ready.ask()
    storage.may_end.clear()
    clock.seconds, storage.found = 5.0, "unavailable"
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(ready.ask)
        wait_until(lambda: storage.looks == 2, seconds=5, what="the second look")
        assert [ready.ask() for _ in range(50)] == [OK] * 50
        storage.may_end.set()
        assert looking.result()["status"] == "unavailable"
    assert storage.looks == 2


def test_while_the_first_one_looks_others_wait_for_a_second_at_most() -> None:
    """Then they are told what is known without a look, and hold their places no longer."""
    storage = Storage()
    ready = readiness(storage)
    with ThreadPoolExecutor(9) as pool:
        looking = pool.submit(ready.ask)
        wait_until(lambda: storage.looks == 1, seconds=5, what="the first look")
        started = time.monotonic()
        assert list(pool.map(lambda _: ready.ask()["status"], range(8))) == ["degraded"] * 8
        assert time.monotonic() - started < 3
        storage.may_end.set()
        assert looking.result() == OK
    assert storage.looks == 1


def test_a_look_that_fails_does_not_end_all_others() -> None:
    storage = Storage()

    def fail() -> StorageState:
        raise RuntimeError("unforeseen")

    storage.may_end.set()
    ready = readiness(storage)
    probe, storage.probe = storage.probe, fail  # type: ignore[method-assign]  # for one call
    with pytest.raises(RuntimeError):
        ready.ask()
    storage.probe = probe  # type: ignore[method-assign]
    assert ready.ask() == OK


@contextmanager
def silent_host() -> Iterator[str]:
    """Accept connections, and answer none."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/keys"


def test_a_look_takes_none_of_the_places_of_requests_that_wait_for_the_first_key_set() -> None:
    with silent_host() as url, ThreadPoolExecutor(MAX_WAITING + 1) as pool:
        keys = JwksKeys(KeySetLocation(url=url), network=Network())
        looks = [pool.submit(keys.load) for _ in range(MAX_WAITING)]
        wait_until(lambda: keys.describe().refreshing, seconds=5, what="the fetch")
        assert keys.describe().waiting == 0
        request = pool.submit(lambda: list(keys.candidates({"alg": "RS256"})))
        wait_until(lambda: keys.describe().waiting == 1, seconds=4, what="the request's place")
        assert not any(look.result().loaded for look in looks)
        assert isinstance(request.exception(), IdentityProviderUnavailableError)


def test_probes_without_a_key_set_leave_users_their_places(sandbox: Sandbox) -> None:
    """A user's first token waits for the fetch, as if nobody probed, and is told the provider is away."""
    token = sign(ec.generate_private_key(ec.SECP256R1()), "ES256")
    with (
        silent_host() as url,
        running_service(sandbox.base_url, JWT_SECRET="", JWT_JWKS_URL=url) as service,
        ThreadPoolExecutor(MAX_WAITING + 20) as pool,
    ):
        probes = [pool.submit(service.get, "/readyz") for _ in range(MAX_WAITING + 20)]
        answer = service.token(jwt=token)
        assert answer.json()["error"]["code"] == "identity_provider_unavailable"
        assert {probe.result().status_code for probe in probes} == {503}
