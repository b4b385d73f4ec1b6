"""A page whose call must end: by its user, a revocation, an admin's command and its deadline, within two seconds."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from service.calls.redis_registry import PREFIX
from tests.support.forks import run_command
from tests.support.processes import wait_until
from tests.support.redis import RedisServer, running_redis
from tests.support.service import Sandbox, TokenService, running_service, service_environ
from tests.support.voice import ADMIN_TOKEN, MODELS, Voice, at_sandbox

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TALK = """async ({ jwt, models }) => {
  const { startCall } = await import("/static/realtime.js");
  const calls = models.map((model) => startCall("/calls", jwt, { model }));
  const opened = [];
  for (const call of calls) opened.push((await call.ready).id);
  globalThis.closed = Promise.all(
    calls.map((call) => new Promise((resolve) => call.addEventListener("close", () => resolve(true)))));
  return opened;
}"""


def cut_off(cause: str, voice: Voice, redis: RedisServer, ids: list[str]) -> float:
    """End a user's calls, and return from when on they are to end."""
    began = time.time()
    if cause == "client":
        for call_id in ids:
            assert voice.end(call_id).status_code == 204
    elif cause == "revoked":
        assert voice.admin("POST", "/revocations", json={"sub": voice.user}).json()["calls"] == len(ids)
    elif cause == "deadline":  # brought forward where it is kept: the shortest call lasts 30 s
        redis.client.zadd(f"{PREFIX}:due", dict.fromkeys(ids, int(1000 * began)))
    else:
        for call_id in ids:
            environ = service_environ(voice.sandbox.base_url, **on(redis))
            done = run_command("calls", "--end", call_id, environ=environ)
            assert done.returncode == 0, done.stderr
            began = time.time()  # when the command has ended: starting it is not what is measured
    return began


def on(redis: RedisServer) -> dict[str, str]:
    """What the service and its commands share."""
    return {
        "ALLOWED_MODELS": MODELS,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "RATE_LIMIT_STORAGE_URL": redis.url,
        "CALLS_PER_USER": "2",
    }


def test_who_talks_on_a_page_is_cut_off_within_two_seconds(chromium: Browser, sandbox: Sandbox) -> None:
    """By its user, a revocation, a command and the deadline, in both kinds of session; seen at the sandbox."""
    with running_redis() as redis, running_service(sandbox.base_url, **on(redis)) as service:
        page = chromium.new_context(bypass_csp=True).new_page()
        page.goto(f"{service.url}/healthz")
        for cause in ("client", "revoked", "admin", "deadline"):
            sandbox.reset()
            voice = Voice(service, sandbox, user=cause)
            ids = page.evaluate(TALK, {"jwt": voice.jwt, "models": MODELS.split(",")})
            assert all(call["connected"] for call in at_sandbox(sandbox))
            began = cut_off(cause, voice, redis, ids)
            voice.wait_until_ended(seconds=5)
            ended = at_sandbox(sandbox)
            assert {call["api"]: call["ended_by"] for call in ended} == {
                "realtime": "hangup",
                "live": "sideband",
            }
            assert max(call["ended_at"] for call in ended) - began < 2
            page.evaluate("() => closed")
            told = f'"ended_by":"{cause}"'
            wait_until(partial(said_twice, service, told), seconds=2, what="the audit events")
        page.context.close()


def said_twice(service: TokenService, words: str) -> bool:
    """Return whether two lines of the log have these words."""
    return service.run.output.count(words) == 2
