"""``startCall`` of ``realtime.js`` as an app uses it: real calls of the service, over WebRTC to the sandbox."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.browser import listen_for_problems
from tests.support.examples import install_node_packages, running_origin
from tests.support.processes import wait_until
from tests.support.service import API_KEY, Sandbox, TokenService, running_service
from tests.support.severable import udp_relay
from tests.support.tokens import sign

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "service" / "static"
ADMIN_TOKEN = "an-admins-token-of-at-least-32-characters"
_numbers = count()

# What every snippet finds in scope. `calls` starts one for this test's user, and keeps all its news in `news`.
PRELUDE = """async ({ jwt, ...given }) => {
  const { startCall, TokenError } = await import("/static/realtime.js");
  const news = (globalThis.news ??= []);
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
  // A fetch whose calls all fail to connect, at once: their answers name another certificate. Notes the methods.
  const forged = (asked) => async (url, init) => {
    const answer = await fetch(url, init);
    asked.push(init.method);
    if (init.method !== "POST") return answer;
    const { call, sdp } = await answer.json();
    const other = Array.from({ length: 32 }, () => "AB").join(":");
    return Response.json({ call, sdp: sdp.replace(/a=fingerprint:.*/g, `a=fingerprint:sha-256 ${other}`) });
  };
  // A fetch whose first call cannot be connected; notes the methods that it was called with.
  const broken = (asked) => async (url, init) => {
    const answer = await fetch(url, init);
    asked.push(init.method);
    if (init.method !== "POST" || asked.filter((one) => one === "POST").length > 1) return answer;
    const { call, sdp } = await answer.json();
    return Response.json({ call, sdp: sdp.replace(/a=ice-pwd:.*/g, "a=ice-pwd:" + "x".repeat(24)) });
  };
"""


class App:
    """A web app on the service's origin, of a user of its own: one of the tests has its user revoked."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.user = f"caller-{next(_numbers)}"
        self.jwt = sign(sub=self.user)

    def run(self, snippet: str, **given: Any) -> Any:
        """Run the body of an async function, for a minute at most; the test's own values are in ``given``."""
        overdue = "new Promise((_, no) => setTimeout(no, 60_000, new Error('no end within a minute')))"
        script = f"(given) => Promise.race([({PRELUDE}{snippet}}})(given), {overdue}])"
        return self.page.evaluate(script, {"jwt": self.jwt, **given})


@pytest.fixture(scope="module")
def other_origin() -> Iterator[str]:
    """Where pages of another origin come from."""
    with running_origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def calling(sandbox: Sandbox, other_origin: str) -> Iterator[TokenService]:
    """A token service that opens calls to both kinds of session.

    It is stopped soon: a call whose page has left is looked after for two minutes.
    """
    variables = {"ALLOWED_MODELS": "gpt-realtime-2.1,gpt-live-1.1", "ADMIN_TOKEN": ADMIN_TOKEN}
    with running_service(
        sandbox.base_url, "--graceful-timeout", "3", ALLOWED_ORIGINS=other_origin, **variables
    ) as service:
        yield service


@contextmanager
def opened_app(chromium: Browser, calling: TokenService) -> Iterator[App]:
    """Open a page of the service's origin, which may connect anywhere: its policy is tested elsewhere."""
    context = chromium.new_context(bypass_csp=True)
    page = context.new_page()
    problems = listen_for_problems(page)
    page.goto(f"{calling.url}/healthz")
    yield App(page)
    context.close()
    assert problems == []


@pytest.fixture(scope="module")
def unconnected(chromium: Browser, calling: TokenService) -> Iterator[App]:
    """An app whose first call cannot be connected. Begun early, as the next three: other tests run meanwhile."""
    with opened_app(chromium, calling) as app:
        app.run("""
          globalThis.asked = [];
          globalThis.began = performance.now();
          globalThis.call = calls({ fetch: broken(asked) });
          call.ready.then(() => (globalThis.waited = (performance.now() - began) / 1000));
        """)
        yield app


@pytest.fixture(scope="module")
def replaced(chromium: Browser, calling: TokenService) -> Iterator[App]:
    """An app whose first call cannot be connected and is replaced meanwhile, by one that has ended by now."""
    with opened_app(chromium, calling) as app:
        app.run("""
          const first = calls({ fetch: broken([]) });
          globalThis.end = closed(first);
          await new Promise((resolve) => first.addEventListener("call", resolve));
          const second = calls();
          await second.ready;
          await second.end();
        """)
        yield app


@pytest.fixture(scope="module")
def cut_off(chromium: Browser, calling: TokenService) -> Iterator[App]:
    """An app whose first call loses its network as soon as it is connected."""
    with opened_app(chromium, calling) as app, ExitStack() as relays:

        def relay(route: Route) -> None:
            answer = route.fetch()
            opened = answer.json()
            line = re.search(r"a=candidate:\S+ 1 udp \d+ ([\d.]+) (\d+) typ host", opened["sdp"])
            assert line
            host, port = line.groups()
            through = relays.enter_context(udp_relay((host, int(port))))
            only = line[0].replace(f" {port} typ", f" {through} typ")
            opened["sdp"] = re.sub(r"a=candidate:.*", only, opened["sdp"])
            route.fulfill(response=answer, json=opened)

        app.page.route("**/calls", relay, times=1)
        app.run("globalThis.call = calls(); await call.ready; globalThis.first = call.call.id;")
        relays.close()
        yield app


@pytest.fixture(scope="module")
def running_out(chromium: Browser, calling: TokenService) -> Iterator[App]:
    """An app whose call may last 30 s, the shortest time there is."""
    with opened_app(chromium, calling) as app:
        app.run(
            "globalThis.call = calls({ maxSeconds: 30 }); globalThis.end = closed(call); await call.ready;"
        )
        yield app


@pytest.fixture
def app(chromium: Browser, calling: TokenService) -> Iterator[App]:
    with opened_app(chromium, calling) as app:
        yield app


@pytest.mark.usefixtures("unconnected", "replaced", "cut_off", "running_out")
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
        let state = "ending";  // not for long: the vendor closed first, and confirmed it
        for (let looks = 0; state === "ending" && looks < 40; looks++) {
          await new Promise((resolve) => setTimeout(resolve, 50));
          state = (await (await ask(`/calls/${id}`, "GET")).json()).call.state;
        }
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
    assert told["state"] == "ended"
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


@pytest.mark.parametrize("ended_by", ["admin", "revoked", "vendor", "client"])
def test_an_end_that_was_decided_is_final(
    app: App, calling: TokenService, sandbox: Sandbox, ended_by: str
) -> None:
    """The vendor hangs up and the service tells why: no new call, although the app asked for reconnection."""
    app.run("globalThis.call = calls(); globalThis.end = closed(call); await call.ready;")
    admin = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    (call,) = calling.get("/admin/calls", params={"sub": app.user}, headers=admin).json()["calls"]
    if ended_by == "admin":
        calling.request("DELETE", f"{calling.url}/admin/calls/{call['id']}", headers=admin, timeout=10)
    elif ended_by == "revoked":
        calling.post("/admin/revocations", {"sub": app.user}, jwt=ADMIN_TOKEN)
    elif ended_by == "client":
        app.run("await ask(`/calls/${call.call.id}`, 'DELETE');")  # as another tab of the user does
    else:
        key = {"Authorization": f"Bearer {API_KEY}"}
        url = f"{sandbox.base_url}/realtime/calls/{call['upstream_id']}/hangup"
        requests.post(url, headers=key, timeout=10).raise_for_status()
    told = app.run("const { error, endedBy } = await end; return { error, endedBy, news };")
    assert told == {"error": None, "endedBy": ended_by, "news": ["call", "track", "open", "close"]}


def test_a_newer_call_of_the_same_user_is_final_too(app: App) -> None:
    """Or two open pages would end each other's calls in turn."""
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


def test_leaving_a_page_of_another_origin_ends_the_call(
    chromium: Browser, calling: TokenService, other_origin: str
) -> None:
    """There the request that outlives the page needs a preflight, which outlives it as well."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{other_origin}/package.json")
    jwt = sign(sub="elsewhere")
    page.evaluate(
        """async ({ service, jwt }) => {
          const { startCall } = await import(`${service}/static/realtime.js`);
          await startCall(`${service}/calls`, jwt, { model: "gpt-live-1.1" }).ready;
        }""",
        {"service": calling.url, "jwt": jwt},
    )
    headers = {"Authorization": f"Bearer {jwt}"}
    (call,) = calling.get("/calls", headers=headers).json()["calls"]
    page.goto("about:blank")

    def is_ended() -> bool:
        found = calling.get(f"/calls/{call['id']}", headers=headers).json()["call"]
        return bool(found["state"] != "open")

    wait_until(is_ended, seconds=10, what="the end of the call")
    context.close()


def test_calls_that_cannot_be_connected_are_given_up(app: App) -> None:
    """Also where an attempt takes longer than the longest delay: no connection was open meanwhile."""
    told = app.run("""
      const asked = [];
      const opened = () => asked.filter((method) => method === "POST").length;
      const call = calls({ fetch: forged(asked), reconnect: { attempts: 2, minDelay: 0.001, maxDelay: 0.01 } });
      call.addEventListener("retry", () => opened() > 4 && call.end());
      const { error } = await closed(call);
      return { code: error?.code, opened: opened() };
    """)
    assert told == {"code": "connection_failed", "opened": 3}


def test_a_call_ends_without_complaint_where_the_app_has_closed_its_connection(app: App) -> None:
    """There is nothing left to silence on it."""
    told = app.run("""
      const call = calls();
      await call.ready;
      call.peer.close();
      const { error, endedBy } = await call.end();
      return { error, endedBy };
    """)
    assert told == {"error": None, "endedBy": "client"}


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


def test_a_connection_that_cannot_be_made_is_ended_and_tried_anew(unconnected: App) -> None:
    """After 10 s the call is ended at the service, which would otherwise be paid for; then another is opened."""
    told = unconnected.run("""
      const { id } = await call.ready;
      const { calls: open } = await (await ask("/calls", "GET")).json();
      await call.end();
      return { asked, waited, news, others: open.filter((one) => one.id !== id && one.state === "open").length };
    """)
    assert told["asked"][:4] == ["POST", "GET", "DELETE", "POST"]
    assert 10 <= told["waited"] < 20
    assert ["retry", "connection_failed"] in told["news"]
    assert told["others"] == 0


def test_a_call_that_was_replaced_before_it_was_connected_is_not_opened_again(replaced: App) -> None:
    """No sound ever came, but the service decided that; a new call would only end the newer one."""
    told = replaced.run("""
      const { error, endedBy } = await end;
      const { calls: listed } = await (await ask("/calls", "GET")).json();
      const open = listed.filter(({ state }) => state === "open").length;
      return { error, endedBy, open, retries: news.filter(([type]) => type === "retry") };
    """)
    assert told == {"error": None, "endedBy": "replaced", "open": 0, "retries": []}


def test_a_connection_that_fails_in_mid_call_is_opened_anew(cut_off: App) -> None:
    """The first call is ended at the service, and a second one opened; both are told to the app."""
    told = cut_off.run("""
      while (news.filter((one) => one === "open").length < 2) await new Promise((resolve) => setTimeout(resolve, 50));
      const { call: { state } } = await (await ask(`/calls/${first}`, "GET")).json();
      const second = call.call.id;
      const { endedBy } = await call.end();
      return { news, state, another: second !== first, endedBy };
    """)
    assert told["news"][:5] == ["call", "track", "open", ["retry", "connection_lost"], "call"]
    assert (told["state"], told["another"], told["endedBy"]) == ("ended", True, "client")


def test_a_call_at_its_deadline_is_over(running_out: App) -> None:
    """The service ends it at the vendor, and no other is opened."""
    told = running_out.run("const { error, endedBy } = await end; return { error, endedBy, news };")
    assert told == {"error": None, "endedBy": "deadline", "news": ["call", "track", "open", "close"]}


def test_what_may_pass_is_told_from_what_will_not(app: App) -> None:
    """Faults of a service or of a CDN pass; what only an admin can repair, and ``x-should-retry: false``, do not."""
    passing = [(status, "upstream_error", False) for status in (0, 429, 500, 502, 503, 504, 520, 524, 530)]
    lasting = [
        (502, "upstream_rejected_credentials", False),
        (503, "upstream_quota_exhausted", False),
        (503, "upstream_unavailable", True),
        (400, "invalid_value", False),
        (501, "x", False),
        (531, "x", False),
    ]
    told = app.run(
        "return given.errors.map(([status, code, final]) => new TokenError('No', { status, code, final }).transient);",
        errors=passing + lasting,
    )
    assert told == [True] * len(passing) + [False] * len(lasting)


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
