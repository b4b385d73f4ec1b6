"""Many openings at once, processes that are killed, and a Redis that is killed, hung or emptied."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests

from service.calls.redis_registry import PREFIX
from tests.support.call_vendor import call_vendor, nothing
from tests.support.forks import run_command
from tests.support.http_server import Quiet, serving
from tests.support.offers import OFFER
from tests.support.processes import wait_until
from tests.support.redis import RedisServer
from tests.support.service import (
    Sandbox,
    TokenService,
    running_sandbox,
    running_service,
    service_environ,
)
from tests.support.tokens import sign
from tests.support.voice import ADMIN_TOKEN, LIVE, MODELS, Voice, at_sandbox

OPENINGS = 50
CALLS = 3


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox of this module's own: it holds many sessions."""
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def _empty(sandbox: Sandbox) -> None:
    sandbox.reset()


def variables(redis: RedisServer, **others: str) -> dict[str, str]:
    return {
        "ALLOWED_MODELS": MODELS,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "RATE_LIMIT_STORAGE_URL": redis.url,
        "CALLS_PER_USER": str(CALLS),
        "CALL_MINUTES_PER_USER": "10000/day",
        **others,
    }


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.alone
@pytest.mark.parametrize("at_limit", ["replace", "refuse"])
def test_a_burst_of_openings_leaves_as_many_calls_as_a_user_may_have(
    own_redis: RedisServer, sandbox: Sandbox, at_limit: str
) -> None:
    environ = variables(own_redis, WEB_CONCURRENCY="4", CALLS_AT_LIMIT=at_limit, UPSTREAM_TIMEOUT="20")
    with running_service(sandbox.base_url, **environ) as service:
        voice = Voice(service, sandbox)
        with ThreadPoolExecutor(OPENINGS) as pool:
            answers = list(pool.map(lambda _: voice.open(model=LIVE), range(OPENINGS)))
        statuses = sorted(answer.status_code for answer in answers)
        voice.wait_until_ended(CALLS, seconds=20)
        time.sleep(1)  # nothing more ends, and nothing opens
        still = at_sandbox(sandbox, state="open")
        assert len(still) == CALLS
        assert len(voice.listed()) == CALLS
        if at_limit == "refuse":
            assert statuses == [201] * CALLS + [429] * (OPENINGS - CALLS)
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert refused.json()["error"]["code"] == "too_many_calls"
            assert refused.headers["x-should-retry"] == "false"
            assert int(refused.headers["Retry-After"]) > 500
        else:
            assert set(statuses) <= {201, 409}
            assert statuses.count(201) >= CALLS
            assert len(at_sandbox(sandbox)) == OPENINGS


def test_what_is_due_is_ended_within_two_seconds_of_the_next_start(
    own_redis: RedisServer, sandbox: Sandbox
) -> None:
    """Every process is killed, with one call to be ended and one whose deadline passes meanwhile."""
    environ = variables(own_redis, WEB_CONCURRENCY="2")
    with running_service(sandbox.base_url, **environ) as service:
        voice = Voice(service, sandbox)
        ended, short, kept = voice.opened(model=LIVE), voice.opened(max_seconds=30), voice.opened(model=LIVE)
        for pid in (service.run.pid, *children(service.run.pid)):
            os.kill(pid, signal.SIGKILL)
    done = run_command("calls", "--end", ended, environ=service_environ(sandbox.base_url, **environ))
    assert done.returncode == 0, done.stderr
    assert len(at_sandbox(sandbox, state="open")) == CALLS
    # Its 30 s are not waited for: the time is brought forward where it is kept.
    own_redis.client.zadd(f"{PREFIX}:due", {short: int(1000 * time.time())})
    with running_service(sandbox.base_url, **environ) as service:
        started = time.time()
        voice = Voice(service, sandbox)
        voice.wait_until_ended(1, seconds=5)
        assert max(call["ended_at"] or 0 for call in at_sandbox(sandbox)) - started < 2
        assert [call["id"] for call in voice.listed()] == [kept]
        wait_until(lambda: voice.read(short)["state"] == "ended", seconds=2, what="the end")
        assert voice.read(short)["ended_by"] == "deadline"
        assert voice.read(ended)["ended_by"] == "admin"


def test_killed_in_mid_opening_and_in_mid_ending_nothing_is_lost_but_what_nobody_was_told(
    own_redis: RedisServer,
) -> None:
    """Every process is killed at three points at once.

    One call waits for the vendor's answer, another's answer has come and is not yet recorded, and the third one is
    being ended. At the next start the third is ended within 2 s; of both others the outcome is unknown.
    """
    environ = variables(own_redis, UPSTREAM_TIMEOUT="2", CALLS_PER_USER="1", CALLS_AT_LIMIT="refuse")

    def open_in(service: TokenService, user: str) -> requests.Response:
        return service.post("/calls", {"sdp": OFFER}, jwt=sign(sub=user))

    with call_vendor() as vendor, ThreadPoolExecutor(2) as pool:
        with running_service(vendor.base_url, **environ) as service:
            processes = (service.run.pid, *children(service.run.pid))
            ending = open_in(service, "ending").json()["call"]["id"]
            vendor.at_hangup = vendor.hold
            Voice(service, Sandbox(vendor.base_url, service.run), user="ending").end(ending)
            wait_until(lambda: vendor.hung_up == ["rtc_0"], seconds=2, what="the ending")
            vendor.at_opening = vendor.hold
            asked = pool.submit(open_in, service, "asked")
            wait_until(lambda: len(vendor.opened) == 2, seconds=2, what="the opening")
            # It is stopped before the answer is sent, so that it cannot have recorded it when it is killed.
            vendor.at_opening = lambda: send_signal(signal.SIGSTOP, processes)
            vendor.after_answer = lambda: send_signal(signal.SIGKILL, processes)
            answered = pool.submit(open_in, service, "answered")
            for opening in (asked, answered):
                assert isinstance(opening.exception(10), requests.ConnectionError)
        vendor.at_opening = vendor.after_answer = vendor.at_hangup = nothing
        with running_service(vendor.base_url, **environ) as service:
            wait_until(lambda: vendor.hung_up == ["rtc_0", "rtc_0"], seconds=2, what="the ending")
            told = '"outcome":"unknown"'
            wait_until(lambda: service.run.output.count(told) == 2, seconds=9, what="the unknown ones")
            for user in ("asked", "answered", "ending"):
                opened = open_in(service, user)
                assert opened.status_code == 201, opened.text
                left = re.search(r'"call-seconds";r=(\d+)', opened.headers["RateLimit"])
                assert left
                assert int(left[1]) == 60 * 10_000 - 600 - 15


def send_signal(number: int, processes: Iterable[int]) -> None:
    """Send a signal to each process."""
    for pid in processes:
        os.kill(pid, number)


def test_a_redis_that_was_emptied_ends_the_calls_that_nobody_knows_any_more(
    own_redis: RedisServer, sandbox: Sandbox
) -> None:
    with running_service(sandbox.base_url, **variables(own_redis)) as service:
        voice = Voice(service, sandbox)
        ids = [voice.opened(model=LIVE), voice.opened()]
        upstream = [call["id"] for call in at_sandbox(sandbox)]
        own_redis.client.flushall()
        voice.wait_until_ended(seconds=5)
        (line,) = [line for line in service.run.output.splitlines() if "missing from the storage" in line]
        assert '"level":"error"' in line
        assert all(name in line for name in (*ids, *upstream))


def test_without_redis_nothing_is_opened_and_what_is_open_ends_at_its_deadline(
    own_redis: RedisServer, sandbox: Sandbox
) -> None:
    """Whatever ``RATE_LIMIT_ON_STORAGE_FAILURE`` says: with each of its policies at once, since it takes 30 s."""
    with ExitStack() as stack:
        voices = {}
        for policy in ("local", "deny"):
            environ = variables(own_redis, RATE_LIMIT_ON_STORAGE_FAILURE=policy)
            service = stack.enter_context(running_service(sandbox.base_url, **environ))
            voices[policy] = Voice(service, sandbox, user=policy)
        opened = time.time()
        for voice in voices.values():
            voice.opened(model=LIVE, max_seconds=30)
        own_redis.kill()
        for policy, voice in voices.items():
            refused = voice.open(model=LIVE)
            assert error_code(refused, 503) == "call_registry_unavailable"
            assert refused.headers["x-should-retry"] == "false"
            ready = voice.service.get("/readyz")
            assert ready.json()["calls"] == "unavailable"
            assert ready.status_code == (200 if policy == "local" else 503)
        assert len(at_sandbox(sandbox)) == 2
        voices["deny"].wait_until_ended(seconds=40)
        for ended in at_sandbox(sandbox):
            assert 29 < ended["ended_at"] - opened < 34
        own_redis.start()
        for voice in voices.values():
            wait_until(partial(opens, voice), seconds=20, what="the storage's return")
            assert voice.service.get("/readyz").json()["calls"] == "ok"


def error_code(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    code: str = answer.json()["error"]["code"]
    return code


def opens(voice: Voice) -> bool:
    """Return whether a call can be opened."""
    return voice.open(model=LIVE).status_code == 201


def test_a_hung_redis_is_a_503_and_the_calls_go_on(own_redis: RedisServer, sandbox: Sandbox) -> None:
    with running_service(sandbox.base_url, **variables(own_redis)) as service:
        voice = Voice(service, sandbox)
        call_id = voice.opened(model=LIVE)
        with own_redis.hung():
            began = time.monotonic()
            refused = voice.open(model=LIVE)
            assert refused.json()["error"]["code"] == "call_registry_unavailable"
            assert time.monotonic() - began < 8
        wait_until(lambda: voice.request("GET", "/calls").ok, seconds=20, what="the storage's return")
        assert voice.listed()[0]["id"] == call_id
        assert len(at_sandbox(sandbox, state="open")) == 1


def test_calls_in_memory_end_with_their_process(sandbox: Sandbox) -> None:
    with running_service(sandbox.base_url, ALLOWED_MODELS=MODELS, CALLS_PER_USER="3") as service:
        voice = Voice(service, sandbox)
        for model in (LIVE, "gpt-realtime-2.1", LIVE):
            voice.opened(model=model)
        service.run.process.terminate()
        assert service.run.wait() == 0
        assert '"ended_by":"shutdown"' in service.run.output
    assert at_sandbox(sandbox, state="open") == []
    assert len(at_sandbox(sandbox)) == 3


def test_a_call_that_is_being_opened_at_the_shutdown_is_ended_too() -> None:
    """In memory: its process answers what it was asked, and then ends what it opened."""
    asked: list[str] = []
    is_asked, may_answer = threading.Event(), threading.Event()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            if self.path.endswith("/sessions"):
                is_asked.set()
                may_answer.wait(10)
            answer = {"session": {"id": "live_1"}, "transport": {"type": "webrtc", "sdp": "v=0\r\n"}}
            body = json.dumps(answer).encode()
            self.send_response(201)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with (
        serving(Handler) as vendor,
        running_service(f"{vendor}/v1", ALLOWED_MODELS=LIVE) as service,
        ThreadPoolExecutor(1) as pool,
    ):
        opening = pool.submit(service.post, "/calls", {"sdp": OFFER, "model": LIVE})
        assert is_asked.wait(10)
        service.run.process.terminate()
        time.sleep(0.3)  # it has heard, and refuses nothing that it was asked before
        may_answer.set()
        assert opening.result().status_code == 201
        assert service.run.wait() == 0
        assert '"ended_by":"shutdown"' in service.run.output
    assert asked == ["/v1/live/sessions", "/v1/live/sessions/live_1/hangup"]
