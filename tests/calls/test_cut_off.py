"""Somebody who talks is cut off: at the deadline, by the user, by a revocation and by the admin, within 2 s.

At OpenAI and on Azure; and what the vendor has ended itself is found ended. The client is aiortc, in its own process;
that a call has ended is seen at the sandbox.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis

from tests.support.dialects import azure_variables
from tests.support.forks import run_command
from tests.support.processes import wait_until
from tests.support.redis import RedisServer
from tests.support.service import Sandbox, TokenService, running_service, service_environ
from tests.support.tools import require
from tests.support.voice import ADMIN_TOKEN, LIVE, MODELS, Voice, at_sandbox
from tests.support.webrtc import Clients, webrtc_clients, write_sentence

WITHIN = 2.0
LOUD_SECONDS = 10
REALTIME = "gpt-realtime-2.1"
BOTH = (LIVE, REALTIME)


@dataclass(frozen=True)
class Scene:
    """A service of two processes on a database of Redis, and its vendor; its commands share the ``variables``."""

    service: TokenService
    sandbox: Sandbox
    variables: dict[str, str]
    database: Redis

    def user(self, name: str) -> Voice:
        """Return a user's calls."""
        return Voice(self.service, self.sandbox, user=name)

    def command(self, *arguments: str) -> None:
        """Run a command of the admin's to its end."""
        done = run_command(*arguments, environ=service_environ(self.sandbox.base_url, **self.variables))
        assert done.returncode == 0, done.stderr

    def there(self, vendor_id: str) -> dict[str, Any]:
        """Look at one call at the vendor."""
        (call,) = (call for call in at_sandbox(self.sandbox) if call["id"] == vendor_id)
        return call

    def next_checks(self, call_ids: Sequence[str]) -> list[float]:
        """Return when calls are next asked whether they still run."""
        (key,) = self.database.keys("*:check")
        return [self.database.zscore(key, call_id) or 0.0 for call_id in call_ids]

    def let_two_minutes_pass(self, call_ids: Sequence[str]) -> None:
        """Have calls asked now whether they still run."""
        (key,) = self.database.keys("*:check")
        self.database.zadd(key, dict.fromkeys(call_ids, 0))


@contextmanager
def serving(sandbox: Sandbox, redis: RedisServer, database: int, **of_vendor: str) -> Iterator[Scene]:
    """Run a service on a database of its own: a keeper ends calls at its own vendor."""
    variables = of_vendor | {
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "RATE_LIMIT_STORAGE_URL": f"{redis.url}/{database}",
        "WEB_CONCURRENCY": "2",
        "CALL_CHECK_SECONDS": "1",
        "CALLS_PER_USER": "2",
    }
    with running_service(sandbox.base_url, **variables) as service:
        yield Scene(service, sandbox, variables, Redis(port=redis.port, db=database))


@pytest.fixture(scope="module")
def openai(sandbox: Sandbox, redis: RedisServer) -> Iterator[Scene]:
    with serving(sandbox, redis, 1, ALLOWED_MODELS=MODELS) as scene:
        yield scene


@pytest.fixture(scope="module")
def azure(azure_sandbox: Sandbox, redis: RedisServer) -> Iterator[Scene]:
    """Its calls are opened with secrets, its events are filtered, and its sidebands wait for the client."""
    with serving(azure_sandbox, redis, 2, **azure_variables()) as scene:
        yield scene


@pytest.fixture(params=["openai", "azure"])
def scene(request: pytest.FixtureRequest) -> Scene:
    """Each vendor that has calls, with nothing open."""
    scene: Scene = request.getfixturevalue(request.param)
    scene.sandbox.reset()
    return scene


@pytest.fixture(scope="module")
def sentence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spoken words."""
    require("espeak-ng")
    path = tmp_path_factory.mktemp("speech") / "sentence.wav"
    write_sentence(path, "Good morning! How are you?")
    return path


def connect(voice: Voice, clients: Clients, model: str, number: int = 0, **body: int) -> str:
    """Open a call, and wait until its data channel is open."""
    answer = voice.open(clients.offers[number], model=model, **body)
    assert answer.status_code == 201, answer.text
    clients.answer(answer.json()["sdp"], call=number)
    clients.until_open(call=number)
    call_id: str = answer.json()["call"]["id"]
    return call_id


def talk(clients: Clients, sentence: Path, number: int = 0) -> None:
    """Talk until an answer is heard."""
    clients.say(sentence, call=number)
    wait_until(lambda: clients.stats(call=number)["loud"] > 0, seconds=LOUD_SECONDS, what="an answer")


def by_user(_: Scene, voice: Voice, call_id: str) -> float:
    began = time.time()
    assert voice.end(call_id).status_code == 204
    return began


def by_revocation(_: Scene, voice: Voice, __: str) -> float:
    began = time.time()
    assert voice.admin("POST", "/revocations", json={"sub": voice.user}).json()["calls"] == 1
    return began


def by_admin(scene: Scene, voice: Voice, call_id: str) -> float:
    """By the route for one kind, by the command for the other, whose start is not what is measured."""
    began = time.time()
    if voice.read(call_id)["type"] == "realtime":
        assert voice.admin("DELETE", f"/calls/{call_id}").status_code == 204
        return began
    scene.command("calls", "--end", call_id)
    return time.time()


@pytest.mark.parametrize(
    ("end", "cause"), [(by_user, "client"), (by_revocation, "revoked"), (by_admin, "admin")]
)
def test_who_talks_is_cut_off(
    scene: Scene, end: Callable[[Scene, Voice, str], float], cause: str, sentence: Path
) -> None:
    """A conversation and a Live session, of one user each."""
    with webrtc_clients(2) as clients:
        for number, model in enumerate(BOTH):
            voice = scene.user(f"{cause}-{model}")
            call_id = connect(voice, clients, model, number)
            talk(clients, sentence, number)
            there = at_sandbox(scene.sandbox, state="open")[-1]
            assert there["connected"]
            began = end(scene, voice, call_id)
            voice.wait_until_ended(seconds=5)
            clients.wait("state", call=number, state="closed")
            ended = scene.there(there["id"])
            assert ended["ended_at"] - began < WITHIN
            assert ended["ended_by"] == ("sideband" if model == LIVE else "hangup")
            told = f'"ended_by":"{cause}"'

            def is_told(call_id: str = call_id, told: str = told) -> bool:
                lines = scene.service.run.output.splitlines()
                return any(told in line for line in lines if call_id in line)

            wait_until(is_told, seconds=2, what=told)


def test_who_talks_is_cut_off_at_the_deadline(openai: Scene, azure: Scene, sentence: Path) -> None:
    """At both vendors at once, since no call may be shorter than half a minute."""
    calls: list[tuple[Scene, str, int]] = []
    with webrtc_clients(4) as clients:
        for scene in (openai, azure):
            scene.sandbox.reset()
            for model in BOTH:
                voice, number = scene.user("deadline"), len(calls)
                call_id = connect(voice, clients, model, number, max_seconds=30)
                talk(clients, sentence, number)
                vendor_id = at_sandbox(scene.sandbox, state="open")[-1]["id"]
                calls.append((scene, vendor_id, voice.read(call_id)["expires_at"]))
        for scene in (openai, azure):
            scene.user("deadline").wait_until_ended(seconds=35)
    for scene, vendor_id, deadline in calls:
        late = scene.there(vendor_id)["ended_at"] - deadline
        assert 0 <= late < 1 + WITHIN  # the deadline is shown in whole seconds


def test_a_check_leaves_alone_who_is_connected_and_finds_what_the_vendor_has_ended(scene: Scene) -> None:
    """And it ends what nobody has connected to: its socket is not there either, but for OpenAI's Live sessions."""
    talker, nobody = scene.user("connected"), scene.user("never connected")
    with webrtc_clients(2) as clients:
        connected = [connect(talker, clients, model, number) for number, model in enumerate(BOTH)]
        there = [call["id"] for call in at_sandbox(scene.sandbox)]
        waiting = {model: nobody.opened(model=model) for model in BOTH}
        alone = dict(zip(BOTH, at_sandbox(scene.sandbox)[2:], strict=True))
        scene.let_two_minutes_pass([*connected, *waiting.values()])
        unknown = BOTH if scene.variables.get("OPENAI_VENDOR") == "azure" else (REALTIME,)
        for model in unknown:
            wait_until_told(nobody, waiting[model], "vendor")
            assert scene.there(alone[model]["id"])["ended_by"] == "hangup"
        for _ in range(2):  # the second check begins a second after the first, which is over by then
            before = scene.next_checks(connected)
            wait_until(
                lambda before=before: all(map(float.__lt__, before, scene.next_checks(connected))),  # type: ignore[misc]
                seconds=8,
                what="a check",
            )
        assert [talker.read(call_id)["state"] for call_id in connected] == ["open", "open"]
        assert all(scene.there(vendor_id)["connected"] for vendor_id in there)
        kept = [waiting[model] for model in BOTH if model not in unknown]
        assert [call["id"] for call in nobody.listed()] == kept

        for call_id, vendor_id in zip(connected, there, strict=True):
            end = scene.sandbox.base_url.replace("/v1", f"/sandbox/calls/{vendor_id}/end")
            requests.post(end, json={"reason": "content"}, timeout=20).raise_for_status()
            wait_until_told(talker, call_id, "vendor")


def wait_until_told(voice: Voice, call_id: str, cause: str) -> None:
    """Wait until a user is told that a call has ended, and why; a check comes once a second."""
    wait_until(lambda: voice.read(call_id)["state"] == "ended", seconds=8, what=f"the end of {call_id}")
    assert voice.read(call_id)["ended_by"] == cause
