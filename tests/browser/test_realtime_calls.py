"""``startCall`` of ``realtime.js`` as an app uses it: real calls of the service, over WebRTC to the sandbox."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from service.calls.redis_registry import PREFIX
from tests.support.browser import listen_for_problems
from tests.support.examples import install_node_packages, running_origin
from tests.support.processes import run_command, wait_until
from tests.support.redis import RedisServer, running_redis
from tests.support.service import Sandbox, TokenService, running_service, service_environ
from tests.support.tokens import sign
from tests.support.voice import ADMIN_TOKEN, MODELS, Voice, at_sandbox

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "service" / "static"

# What every snippet finds in scope. `calls` starts one for this test's user, and keeps all its news in `news`.
PRELUDE = """async ({ jwt, ...given }) => {
  const { startCall, TokenError } = await import("/static/realtime.js");
  const news = [];
  const calls = (options = {}) => {
    const call = startCall("/calls", jwt, { model: "gpt-realtime-2.1", reconnect: { minDelay: 0.05 }, ...options });
    for (const type of ["call", "open", "track", "retry", "close"]) {
      call.addEventListener(type, ({ detail }) => news.push(type === "retry" ? [type, detail.error.code] : type));
    }
    return call;
  };
  const closed = (call) => new Promise((resolve) => call.addEventListener("close", ({ detail }) => resolve(detail)));
  const ask = (path, method) => fetch(path, { method, headers: { Authorization: `Bearer ${jwt}` } });
  const told = ({ name, message, ...details }) => ({ name, ...details });
"""


class App:
    """A web app on the service's origin, of one user."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.jwt = sign(sub=f"caller-{id(self)}")

    def run(self, snippet: str, **given: Any) -> Any:
        """Run the body of an async function, for a minute at most; the test's own values are in ``given``."""
        overdue = "new Promise((_, no) => setTimeout(no, 60_000, new Error('no end within a minute')))"
        script = f"(given) => Promise.race([({PRELUDE}{snippet}}})(given), {overdue}])"
        return self.page.evaluate(script, {"jwt": self.jwt, **given})


@pytest.fixture(scope="module")
def calling(sandbox: Sandbox) -> Iterator[TokenService]:
    """A token service that opens calls to both kinds of session."""
    with running_service(sandbox.base_url, ALLOWED_MODELS="gpt-realtime-2.1,gpt-live-1.1") as service:
        yield service


@pytest.fixture
def app(chromium: Browser, calling: TokenService) -> Iterator[App]:
    context = chromium.new_context(bypass_csp=True)
    page = context.new_page()
    problems = listen_for_problems(page)
    page.goto(f"{calling.url}/healthz")
    yield App(page)
    context.close()
    assert problems == []


@pytest.mark.parametrize("model", ["gpt-realtime-2.1", "gpt-live-1.1"])
def test_a_call_brings_sound_events_and_its_time(app: App, model: str) -> None:
    """The microphone goes in, a track and events come out, the time left is told, and ``end`` ends it."""
    told = app.run(
        """
        const call = calls({ model: given.model, maxSeconds: 60 });
        const times = [];
        call.addEventListener("time", ({ detail }) => times.push(detail));
        const first = new Promise((resolve) => call.addEventListener("message", ({ data }) => resolve(data.type)));
        const { id, max_seconds: longest } = await call.ready;
        const event = await first;
        await new Promise((resolve) => setTimeout(resolve, 1100));
        const track = call.microphone.getAudioTracks()[0];
        const live = [track.readyState, call.secondsLeft];
        call.muted = true;
        live.push(track.enabled);
        const outcome = await call.end();
        const { call: { state } } = await (await ask(`/calls/${id}`, "GET")).json();
        return { event, longest, times, live, outcome, news, state, after: track.readyState };
        """,
        model=model,
    )
    assert told["event"] in {"session.created", "session.started"}
    assert told["longest"] == 60
    assert told["times"][0] in {59, 60}
    assert told["times"] == sorted(told["times"], reverse=True)
    assert len(told["times"]) > 1
    assert told["live"][0] == "live"
    assert 50 < told["live"][1] < 60
    assert told["live"][2] is False
    assert (told["outcome"]["endedBy"], told["outcome"]["error"]) == ("client", None)
    assert told["news"] == ["call", "track", "open", "close"]
    assert told["state"] in {"ending", "ended"}
    assert told["after"] == "ended"  # the browser's sign that the microphone is on goes out


def test_a_refused_opening_is_an_error_and_is_not_repeated(app: App) -> None:
    """``ready`` rejects with the service's words; a new attempt would only be refused again."""
    told = app.run("""
      let posts = 0;
      const counting = (url, init) => (posts++, fetch(url, init));
      const call = calls({ model: "gpt-other", fetch: counting });
      const error = await call.ready.catch(told);
      return { error, posts, outcome: (await call.end()).endedBy };
    """)
    assert (told["error"]["code"], told["error"]["status"], told["error"]["param"]) == (
        "model_not_allowed",
        403,
        "model",
    )
    assert (told["posts"], told["outcome"]) == (1, None)


@pytest.mark.parametrize("ended_by", ["replaced", "revoked", "admin", "deadline", "vendor"])
def test_an_end_that_was_decided_is_final(app: App, ended_by: str) -> None:
    """The other side hangs up and the service tells why: no new call, although the app asked for reconnection."""
    told = app.run(
        """
        const retold = async (url, init) => {
          const answer = await fetch(url, init);
          if (init.method !== "GET") return answer;
          const { call } = await answer.json();
          const ended = { ...call, state: "ended", ended_by: given.why };
          return Response.json({ call: call.state === "open" ? call : ended });
        };
        const call = calls({ fetch: retold });
        const { id } = await call.ready;
        const end = closed(call);
        await ask(`/calls/${id}`, "DELETE");
        const { error, endedBy } = await end;
        return { error, endedBy, news };
        """,
        why=ended_by,
    )
    assert (told["endedBy"], told["error"]) == (ended_by, None)
    assert told["news"] == ["call", "track", "open", "close"]


def test_the_service_says_that_a_newer_call_replaced_this_one(app: App) -> None:
    """Not by a test's own words: the second call of a user ends the first."""
    told = app.run("""
      const first = calls();
      await first.ready;
      const end = closed(first);
      const second = calls();
      await second.ready;
      const { endedBy } = await end;
      await second.end();
      return { endedBy, retries: news.filter(([type]) => type === "retry") };
    """)
    assert told == {"endedBy": "replaced", "retries": []}


def test_a_connection_that_cannot_be_made_is_ended_and_tried_anew(app: App) -> None:
    """After 10 s the call is ended at the service, which would otherwise be paid for; then another is opened."""
    told = app.run("""
      const asked = [];
      const broken = async (url, init) => {
        const answer = await fetch(url, init);
        asked.push(init.method);
        if (init.method !== "POST" || asked.filter((one) => one === "POST").length > 1) return answer;
        const { call, sdp } = await answer.json();
        return Response.json({ call, sdp: sdp.replace(/a=ice-pwd:.*/g, "a=ice-pwd:" + "x".repeat(24)) });
      };
      const call = calls({ fetch: broken });
      const began = performance.now();
      const { id } = await call.ready;
      const waited = (performance.now() - began) / 1000;
      const { calls: open } = await (await ask("/calls", "GET")).json();
      await call.end();
      return { asked, waited, news, others: open.filter((one) => one.id !== id && one.state === "open").length };
    """)
    assert told["asked"][:3] == ["POST", "DELETE", "POST"]
    assert 10 <= told["waited"] < 20
    assert ["retry", "connection_failed"] in told["news"]
    assert told["others"] == 0


def test_ending_while_it_is_opened_leaves_no_call(app: App) -> None:
    """The answer is awaited, since nobody else would end what it names."""
    told = app.run("""
      const call = calls();
      await new Promise((resolve) => setTimeout(resolve));
      const outcome = await call.end();
      const ready = await call.ready.catch(({ name }) => name);
      const { calls: open } = await (await ask("/calls", "GET")).json();
      return { error: outcome.error, ready, open: open.filter(({ state }) => state === "open").length };
    """)
    assert told == {"error": None, "ready": "AbortError", "open": 0}


def test_leaving_the_page_ends_the_call(app: App, calling: TokenService) -> None:
    """By a request that outlives the page."""
    app.run("globalThis.call = calls(); await call.ready;")
    app.page.goto(f"{calling.url}/healthz?later")
    app.page.wait_for_function(
        """async (jwt) => {
          const answer = await fetch("/calls", { headers: { Authorization: `Bearer ${jwt}` } });
          return (await answer.json()).calls.every((call) => call.state !== "open");
        }""",
        arg=app.jwt,
    )


def test_leaving_a_page_of_another_origin_ends_the_call(chromium: Browser, sandbox: Sandbox) -> None:
    """There the request that outlives the page needs a preflight, which outlives it as well."""
    with running_origin() as origin:
        variables = {"ALLOWED_ORIGINS": origin, "ALLOWED_MODELS": "gpt-live-1.1"}
        with running_service(sandbox.base_url, **variables) as service:
            context = chromium.new_context()
            page = context.new_page()
            page.goto(f"{origin}/package.json")
            jwt = sign(sub="elsewhere")
            page.evaluate(
                """async ({ service, jwt }) => {
                  const { startCall } = await import(`${service}/static/realtime.js`);
                  await startCall(`${service}/calls`, jwt, { model: "gpt-live-1.1" }).ready;
                }""",
                {"service": service.url, "jwt": jwt},
            )
            headers = {"Authorization": f"Bearer {jwt}"}
            (call,) = service.get("/calls", headers=headers).json()["calls"]
            page.goto("about:blank")
            end = time.monotonic() + 10
            while call["state"] != "ended" and time.monotonic() < end:
                page.wait_for_timeout(100)
                call = service.get(f"/calls/{call['id']}", headers=headers).json()["call"]
            context.close()
    assert (call["state"], call.get("ended_by")) == ("ended", "client")


def test_a_jwt_may_be_asked_for_each_time(app: App) -> None:
    """A call may outlast a JWT: the one that ends it is the newest."""
    told = app.run("""
      let asked = 0;
      const call = startCall("/calls", async () => (asked++, jwt), { model: "gpt-live-1.1" });
      await call.ready;
      const { endedBy } = await call.end();
      return { asked, endedBy };
    """)
    assert told == {"asked": 2, "endedBy": "client"}


def cut_off(cause: str, voice: Voice, redis: RedisServer, ids: list[str]) -> float:
    """End a user's calls, and return from when on they are to end."""
    began = time.time()
    if cause == "revoked":
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
    """By a revocation, a command and the deadline, in a conversation and in a live session; seen at the sandbox."""
    with running_redis() as redis, running_service(sandbox.base_url, **on(redis)) as service:
        page = chromium.new_context(bypass_csp=True).new_page()
        page.goto(f"{service.url}/healthz")
        for cause in ("revoked", "admin", "deadline"):
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
    """Tell whether two lines of the log have these words."""
    return service.run.output.count(words) == 2


TALK = """async ({ jwt, models }) => {
  const { startCall } = await import("/static/realtime.js");
  const calls = models.map((model) => startCall("/calls", jwt, { model }));
  const opened = [];
  for (const call of calls) opened.push((await call.ready).id);
  globalThis.closed = Promise.all(
    calls.map((call) => new Promise((resolve) => call.addEventListener("close", () => resolve(true)))));
  return opened;
}"""


@pytest.mark.parametrize(
    ("status", "code", "final", "passing"),
    [
        *((status, "upstream_error", False, True) for status in (0, 429, 500, 502, 503, 504, 520, 524, 530)),
        (502, "upstream_rejected_credentials", False, False),
        (503, "upstream_quota_exhausted", False, False),
        (503, "upstream_unavailable", True, False),
        (400, "invalid_value", False, False),
        (501, "x", False, False),
        (531, "x", False, False),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(
    app: App, status: int, code: str, final: bool, passing: bool
) -> None:
    """Faults of a service or of a CDN pass; what only an admin can mend, and ``x-should-retry: false``, do not."""
    given = {"status": status, "code": code, "final": final}
    assert app.run("return new TokenError('No', given.details).transient;", details=given) is passing


def test_the_types_beside_the_module_are_the_modules_own(tmp_path: Path) -> None:
    """``realtime.d.ts`` is what the compiler makes of ``realtime.js``: nobody writes it by hand."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    install_node_packages(HERE)
    subprocess.run((*declarations(tmp_path),), cwd=HERE, check=True, capture_output=True)
    assert (STATIC / "realtime.d.ts").read_text() == (tmp_path / "realtime.d.ts").read_text()


def declarations(folder: Path) -> tuple[str, ...]:
    """Return the command that writes the types of the module into a folder."""
    compiler = str(HERE / "node_modules" / ".bin" / "tsc")
    options = "--ignoreConfig --allowJs --declaration --emitDeclarationOnly --module esnext --target esnext"
    libraries = "esnext,dom,dom.iterable,dom.asynciterable"
    return (
        compiler,
        *options.split(),
        "--lib",
        libraries,
        "--outDir",
        str(folder),
        str(STATIC / "realtime.js"),
    )
