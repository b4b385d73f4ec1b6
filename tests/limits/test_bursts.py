"""A thousand requests at once never exceed a limit, however far Redis is: a queue of our own is no lost storage."""

from __future__ import annotations

import json
import subprocess
from collections import Counter

import pytest

from tests.support.delaying import delaying_wire
from tests.support.processes import PYTHON, ROOT, bare_environ, wait_until
from tests.support.redis import RedisServer
from tests.support.service import Sandbox, running_service
from tests.support.tokens import sign

# At 100 ms a round trip, a burst beside other tests takes the storage's whole time by itself.
pytestmark = pytest.mark.alone

AT_ONCE = 1000
LIMIT = 40

# One worker: as many greenlets as there are requests, over the limits as the service builds them.
WORKER = """
from gevent import monkey; monkey.patch_all()
import collections, json, sys, time
import gevent
from service.core.errors import ServiceError
from tests.support.limits import caller, limits

url, requests, starts_at = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
rate_limits = limits(url, per_user="40/day")
user = caller("ada")
print("ready", flush=True)
sys.stdin.readline()

def ask():
    try:
        rate_limits.acquire(user)
    except ServiceError as error:
        return f"{error.status} {error.headers.get('Retry-After')}" if error.status == 503 else str(error.status)
    return "200"

answers = [gevent.spawn(ask) for _ in range(requests)]
gevent.joinall(answers)
counts = collections.Counter(answer.value for answer in answers)
print(json.dumps({"counts": counts, "state": rate_limits.state()}), flush=True)
"""


def burst(url: str, *, processes: int) -> tuple[Counter[str], set[str]]:
    """Ask at the same moment from several processes; give the answers, and how each then sees the storage."""
    workers = [
        subprocess.Popen(
            (PYTHON, "-c", WORKER, url, str(AT_ONCE // processes), "0"),
            cwd=ROOT,
            env=bare_environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    told = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    return sum((Counter(answer["counts"]) for answer in told), Counter()), {
        answer["state"] for answer in told
    }


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("milliseconds", [5, 20, 100])
def test_a_burst_never_exceeds_a_limit(redis: RedisServer, milliseconds: int, processes: int) -> None:
    """Exactly the limit is admitted; who finds no connection in time is told to come back; Redis stays in use."""
    redis.client.flushall()
    with delaying_wire(redis.port, seconds=milliseconds / 1000) as port:
        answers, states = burst(f"redis://127.0.0.1:{port}", processes=processes)
    assert states == {"ok"}
    assert answers["200"] == LIMIT
    assert set(answers) <= {"200", "429", "503 1"}
    assert answers.total() == AT_ONCE


@pytest.mark.parametrize("processes", ["1", "4"])
def test_a_burst_at_the_service_mints_exactly_the_limit(
    sandbox: Sandbox, redis: RedisServer, processes: str
) -> None:
    """Real gunicorn processes, 20 ms from Redis, and what the vendor was asked for."""
    redis.client.flushall()
    sandbox.reset()
    with (
        delaying_wire(redis.port, seconds=0.02) as port,
        running_service(
            sandbox.base_url,
            REDIS_URL=f"redis://127.0.0.1:{port}",
            WEB_CONCURRENCY=processes,
            RATE_LIMIT_PER_USER=f"{LIMIT}/day",
        ) as service,
    ):
        shown = subprocess.run(
            (PYTHON, "-c", CLIENTS, service.url, sign(), str(AT_ONCE)),
            cwd=ROOT,
            env=bare_environ(),
            capture_output=True,
            text=True,
            check=True,
        )
        answers = Counter(json.loads(shown.stdout))
        assert "rate limit storage failed" not in service.run.output
    assert answers["200"] == LIMIT
    assert set(answers) <= {"200", "429", "503 rate_limit_storage_unavailable 1"}
    wait_until(lambda: len(sandbox.mints()) == LIMIT, seconds=5, what="the last mint")


# The clients: a process of its own, with a connection for each request.
CLIENTS = """
from gevent import monkey; monkey.patch_all()
import collections, http.client, json, sys
import gevent
from urllib.parse import urlsplit

place, jwt, requests = urlsplit(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def ask():
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    headers = {"Authorization": f"Bearer {jwt}", "Content-Type": "application/json"}
    connection.request("POST", "/token", "{}", headers)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    if answer.status == 503:
        return f"503 {body['error']['code']} {answer.headers['Retry-After']}"
    return str(answer.status)

answers = [gevent.spawn(ask) for _ in range(requests)]
gevent.joinall(answers)
print(json.dumps(collections.Counter(answer.value for answer in answers)))
"""
