"""Somebody who talks is cut off: at the deadline, by the user, by a revocation and by a command, within 2 s.

The client is aiortc, in a process of its own; that a call has ended is seen at the sandbox.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes import run_command, wait_until
from tests.support.redis import RedisServer
from tests.support.service import Sandbox, TokenService, running_service, service_environ
from tests.support.tools import require
from tests.support.voice import ADMIN_TOKEN, LIVE, MODELS, Voice, at_sandbox
from tests.support.webrtc import Clients, webrtc_clients, write_sentence

WITHIN = 2.0
LOUD_SECONDS = 10


@pytest.fixture(scope="module")
def variables(redis: RedisServer) -> dict[str, str]:
    """What the service and its commands share."""
    return {
        "ALLOWED_MODELS": MODELS,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "RATE_LIMIT_STORAGE_URL": redis.url,
        "WEB_CONCURRENCY": "2",
        "CALL_CHECK_SECONDS": "1",
        "CALLS_PER_USER": "2",
    }


@pytest.fixture(scope="module")
def serving(sandbox: Sandbox, variables: dict[str, str]) -> Iterator[TokenService]:
    """A service of two processes on Redis."""
    with running_service(sandbox.base_url, **variables) as service:
        yield service


@pytest.fixture(scope="module")
def sentence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spoken words."""
    require("espeak-ng")
    path = tmp_path_factory.mktemp("speech") / "sentence.wav"
    write_sentence(path, "Good morning! How are you?")
    return path


def connect(voice: Voice, clients: Clients, model: str, sentence: Path, number: int = 0, **body: int) -> str:
    """Open a call and talk until an answer is heard."""
    answer = voice.open(clients.offers[number], model=model, **body)
    assert answer.status_code == 201, answer.text
    clients.answer(answer.json()["sdp"], call=number)
    clients.until_open(call=number)
    clients.say(sentence, call=number)
    wait_until(lambda: clients.stats(call=number)["loud"] > 0, seconds=LOUD_SECONDS, what="an answer")
    call_id: str = answer.json()["call"]["id"]
    return call_id


def by_user(voice: Voice, call_id: str, _: Callable[..., object]) -> None:
    assert voice.end(call_id).status_code == 204


def by_revocation(voice: Voice, _: str, __: Callable[..., object]) -> None:
    assert voice.admin("POST", "/revocations", json={"sub": voice.user}).json()["calls"] == 1


def by_command(_: Voice, call_id: str, command: Callable[..., object]) -> None:
    command("calls", "--end", call_id)


@pytest.mark.parametrize("model", [LIVE, "gpt-realtime-2.1"])
@pytest.mark.parametrize(
    ("end", "cause"), [(by_user, "client"), (by_revocation, "revoked"), (by_command, "admin")]
)
def test_who_talks_is_cut_off(  # noqa: PLR0917 - fixtures, and what is varied
    serving: TokenService,
    sandbox: Sandbox,
    variables: dict[str, str],
    model: str,
    end: Callable[..., None],
    cause: str,
    sentence: Path,
) -> None:
    voice = Voice(serving, sandbox, user=f"{cause}-{model}")
    began = [0.0]

    def command(*arguments: str) -> None:
        done = run_command(*arguments, environ=service_environ(sandbox.base_url, **variables))
        assert done.returncode == 0, done.stderr
        began[0] = time.time()  # when it has ended: starting a process is not what is measured

    with webrtc_clients() as clients:
        call_id = connect(voice, clients, model, sentence)
        there = at_sandbox(sandbox, state="open")[-1]
        assert there["connected"]
        began[0] = time.time()
        end(voice, call_id, command)
        voice.wait_until_ended(seconds=5)
        clients.wait("state", state="closed")
    ended = next(call for call in at_sandbox(sandbox) if call["id"] == there["id"])
    assert ended["ended_at"] - began[0] < WITHIN
    assert ended["ended_by"] == ("sideband" if model == LIVE else "hangup")
    (listed,) = [line for line in serving.run.output.splitlines() if call_id in line and "ended_by" in line]
    assert f'"ended_by":"{cause}"' in listed


def test_who_talks_is_cut_off_at_the_deadline(
    serving: TokenService, sandbox: Sandbox, sentence: Path
) -> None:
    voice = Voice(serving, sandbox, user="deadline")
    with webrtc_clients(2) as clients:
        ids = [
            connect(voice, clients, model, sentence, number, max_seconds=30)
            for number, model in enumerate((LIVE, "gpt-realtime-2.1"))
        ]
        deadlines = [voice.read(call_id)["expires_at"] for call_id in ids]
        there = at_sandbox(sandbox, state="open")
        assert len(there) == 2
        voice.wait_until_ended(seconds=35)
    ended = {call["id"]: call["ended_at"] for call in at_sandbox(sandbox)}
    for call, deadline in zip(there, deadlines, strict=True):
        assert 0 <= ended[call["id"]] - deadline < 1 + WITHIN  # the deadline is shown in whole seconds
