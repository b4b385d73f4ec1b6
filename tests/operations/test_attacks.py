"""No client can hold the service up: the work, time and places that it can take are bounded.

Each attack runs at full speed on loopback, in a process of its own, while somebody else's requests are measured.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.support.attackers import ATTACKS, attacking
from tests.support.processes import wait_until
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.tokens import sign

pytestmark = pytest.mark.alone

PLACES = 60
OWN_SOCKETS = 20
"""What a worker opens for itself and towards the vendor, in these tests."""
SECONDS = 1.0
P99_SECONDS = 0.15
ATTEMPTS = 4
"""Other programs may spoil one measurement; an attack that works spoils each."""
GROWTH_BYTES = 96 * 1024 * 1024


@dataclass
class Victim:
    """Somebody who uses the service as ever: a probe on a new connection, and mints on a kept one."""

    service: TokenService
    seconds: list[float] = field(default_factory=list)

    def use_it(self, *, seconds: float) -> None:
        end = time.monotonic() + seconds
        with requests.Session() as kept:
            while time.monotonic() < end:
                for answer in (self.service.get("/healthz"), self._mint(kept)):
                    assert answer.ok, answer.text
                    self.seconds.append(answer.elapsed.total_seconds())
                time.sleep(0.01)

    def _mint(self, kept: requests.Session) -> requests.Response:
        headers = {"Authorization": f"Bearer {sign(sub='victim')}"}
        return kept.post(f"{self.service.url}/token", json={}, headers=headers, timeout=30)

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


@pytest.fixture(scope="module")
def attacked(sandbox: Sandbox) -> Iterator[TokenService]:
    """One service for all attacks, so that what one leaves behind meets the next."""
    with running_service(sandbox.base_url, WEB_CONNECTIONS=str(PLACES), LOG_LEVEL="ERROR") as service:
        yield service


@pytest.fixture(scope="module")
def worker(attacked: TokenService) -> int:
    """The process that serves."""
    master = attacked.run.pid
    return int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def count_sockets(pid: int) -> int:
    """Count the sockets that a process holds open."""
    targets = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            targets.append(str(entry.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    return sum(target.startswith("socket:") for target in targets)


def resident_bytes(pid: int) -> int:
    """Tell how much memory a process has in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def slowness(attacked: TokenService, victim: Victim) -> float:
    """Measure what a busy machine excuses, where that matters: five times the p99 without an attack, in seconds."""
    if victim.p99 < P99_SECONDS:
        return 0.0
    quiet = Victim(attacked)
    quiet.use_it(seconds=0.5)
    return 5 * quiet.p99


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_holds_up_nobody_else(name: str, attacked: TokenService, worker: int) -> None:
    """No request of somebody else fails, and their p99 stays under 150 ms.

    On a busy machine one of three looks has to show it; what stalls a worker shows in each of them.
    """
    port = int(attacked.url.rpartition(":")[2])
    before = resident_bytes(worker)
    for _ in range(ATTEMPTS):
        victim = Victim(attacked)
        with attacking(name, port):
            victim.use_it(seconds=SECONDS)
            sockets = count_sockets(worker)
        assert sockets <= PLACES + OWN_SOCKETS
        assert resident_bytes(worker) - before < GROWTH_BYTES
        if victim.p99 < P99_SECONDS + slowness(attacked, victim):
            break
    else:
        pytest.fail(f"p99 was {victim.p99:.3f} s each time")


def test_after_all_attacks_the_places_are_free_again(attacked: TokenService, worker: int) -> None:
    """What the attackers held is closed, and nothing failed inside."""
    wait_until(lambda: count_sockets(worker) < OWN_SOCKETS, seconds=15, what="the end of all connections")
    assert attacked.token().ok
    assert '"level":"error"' not in attacked.run.output
    assert '"level":"critical"' not in attacked.run.output
