"""``realtime.js`` as an app uses it, on a page of the service's own origin."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from service.vendors import wire
from tests.support.browser import listen_for_problems
from tests.support.processes import free_port
from tests.support.severable import SeverableWire, severable_wire
from tests.support.tokens import sign

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.support.service import Sandbox, TokenService

# What every snippet finds in scope: the module, and ways to mint, also for a session that goes by another port.
PRELUDE = """async ({ tokenUrl, jwt, ...given }) => {
  const { connect, connectWebRTC, requestToken, subprotocols, RealtimeError, TokenError } =
    await import("/static/realtime.js");
  const mint = (options) => requestToken(tokenUrl, jwt, options);
  const mintForPort = async (options) => {
    const token = await mint(options);
    token.connection.url = token.connection.url.replace(/:\\d+/, ":" + given.port);
    return token;
  };
  const told = ({ name, message, ...details }) => ({ name, ...details });
"""

# How often a source is asked, and what the session ends by, where every attempt takes longer than the longest delay.
COUNT_ATTEMPTS = """
  const count = async (source, options) => {
    let asked = 0;
    const counting = (options) => {
      if (++asked > 9) session.close();
      return source(options);
    };
    const session = connect(counting, { ...options, reconnect: { attempts: 2, minDelay: 0.001, maxDelay: 0.01 } });
    const error = await session.ready.catch((error) => error);
    return { asked, error: error.code };
  };
"""


class App:
    """A web app on the service's origin: runs snippets of JavaScript that use the module."""

    def __init__(self, page: Page, service: TokenService) -> None:
        self.page = page
        self.token_url = f"{service.url}/token"

    def run(self, snippet: str, *, jwt: str | None = None, **given: Any) -> Any:
        """Run the body of an async function; the test's own values are in ``given``."""
        arguments = {"tokenUrl": self.token_url, "jwt": jwt or sign(), **given}
        return self.page.evaluate(PRELUDE + snippet + "}", arguments)


@pytest.fixture
def app(chromium: Browser, service: TokenService) -> Iterator[App]:
    """A page that may connect anywhere: the module is tested here, not the demo page's policy."""
    context = chromium.new_context(bypass_csp=True)
    page = context.new_page()
    problems = listen_for_problems(page)
    page.goto(f"{service.url}/healthz")
    yield App(page, service)
    context.close()
    # The browser reports a socket that was refused or cut; an exception that nobody caught is ours.
    assert [problem for problem in problems if "WebSocket connection to" not in problem] == []


def wire_to(sandbox: Sandbox) -> AbstractContextManager[SeverableWire]:
    """Put a wire that can be cut in front of the vendor's stand-in."""
    port = urlsplit(sandbox.base_url).port
    assert port
    return severable_wire(("127.0.0.1", port))


@contextmanager
def http_server(status: int) -> Iterator[int]:
    """Answer every request with a status and nothing else; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep the test's output to itself."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    "options", [{}, {"organization": "org-1"}, {"organization": "org-1", "project": "proj-2", "beta": True}]
)
def test_subprotocols_are_the_ones_the_service_sends(app: App, options: dict[str, Any]) -> None:
    """The module and the service spell them alike."""
    offered = app.run("return subprotocols('ek_1', given.options);", options=options)
    assert offered == wire.subprotocols("ek_1", **options)


def test_a_token_is_the_services_answer(app: App, sandbox: Sandbox) -> None:
    """Model, session and life are asked for by the contract's names."""
    token = app.run("""
      return mint({ session: { type: "realtime", instructions: "Be brief." }, expiresIn: 30 });
    """)
    assert token["value"].startswith("ek_")
    assert token["connection"]["protocols"] == wire.subprotocols(token["value"])
    body = sandbox.mints()[-1]["body"]
    assert body["expires_after"] == {"anchor": "created_at", "seconds": 30}
    assert body["session"]["instructions"] == "Be brief."


@pytest.mark.parametrize(
    ("options", "jwt", "expected"),
    [
        pytest.param(
            {}, "forged", {"status": 401, "code": "invalid_token", "param": None}, id="a refused token"
        ),
        pytest.param(
            {"model": "gpt-other"},
            None,
            {"status": 403, "code": "model_not_allowed", "param": "model"},
            id="a refused model",
        ),
    ],
)
def test_a_refusal_of_the_service_carries_its_status_code_and_param(
    app: App, options: dict[str, Any], jwt: str | None, expected: dict[str, Any]
) -> None:
    """What the service said, as data; the request's id with it, to find it in the log."""
    error = app.run("return mint(given.options).catch(told);", options=options, jwt=jwt)
    assert expected.items() <= error.items()
    assert error["name"] == "TokenError"
    assert error["requestId"]


@pytest.mark.parametrize(
    ("options", "param"), [({"expiresIn": 0}, "expires_after.seconds"), ({"model": ""}, "model")], ids=str
)
def test_what_is_zero_or_empty_is_sent_as_it_is(app: App, options: dict[str, Any], param: str) -> None:
    """So that the service refuses it, instead of giving the default."""
    error = app.run("return mint(given.options).catch(told);", options=options)
    assert (error["status"], error["code"], error["param"]) == (400, "invalid_value", param)


def test_a_service_that_cannot_be_reached_is_told_apart(app: App) -> None:
    """Status 0: there was no answer."""
    url = f"http://127.0.0.1:{free_port()}/token"
    error = app.run("return requestToken(given.url, jwt).catch(told);", url=url)
    assert (error["status"], error["code"]) == (0, "unreachable")


def test_a_session_is_an_event_target_and_an_async_iterable(app: App) -> None:
    """No event is missed by who starts to listen right after ``connect``, one way or the other."""
    told = app.run("""
      const session = connect((options) => mint({ ...options, session: { type: "realtime",
        output_modalities: ["text"] } }));
      const listened = [], iterated = [];
      session.addEventListener("message", ({ data }) => listened.push(data.type));
      let done = 0;
      session.addEventListener("response.done", () => done++);
      session.addEventListener("open", () => session.send({ type: "response.create" }));
      for await (const event of session) {
        iterated.push(event.type);
        if (event.type === "response.done") session.close();
      }
      return { listened, iterated, done, first: (await session.ready).type };
    """)
    assert told["iterated"][0] == told["first"] == "session.created"
    assert "response.output_text.delta" in told["iterated"]
    assert told["listened"] == told["iterated"]
    assert told["done"] == 1


def test_a_spent_secret_is_replaced_once(app: App) -> None:
    """A source whose first secret was used already: the session opens with a fresh one."""
    told = app.run("""
      const spent = await mint();
      const first = connect(spent);
      await first.ready;
      const secrets = [spent];
      const retries = [];
      const session = connect((options) => secrets.pop() ?? mint(options));
      session.addEventListener("retry", ({ detail }) => retries.push([detail.error.code, detail.delay]));
      const opened = (await session.ready).type;
      session.close();
      first.close();
      return { opened, retries };
    """)
    assert told == {"opened": "session.created", "retries": [["ephemeral_token_already_used", 0]]}


def test_a_second_spent_secret_is_an_error(app: App) -> None:
    """One retry, not a loop; a plain token has nothing to retry with."""
    told = app.run("""
      const spent = await mint();
      const first = connect(spent);
      await first.ready;
      let asked = 0;
      const stubborn = connect(() => (asked++, spent), { reconnect: true });
      const plain = connect(spent);
      const errors = await Promise.all([stubborn, plain].map((session) => session.ready.catch(told)));
      first.close();
      return { asked, errors };
    """)
    assert told["asked"] == 2
    for error in told["errors"]:
        assert (error["name"], error["code"], error["closeCode"], error["expired"]) == (
            "RealtimeError",
            "ephemeral_token_already_used",
            3000,
            False,
        )


def test_a_refusal_in_band_carries_the_vendors_code(app: App) -> None:
    """Iteration throws it, ``close`` tells it, ``ready`` rejects with it."""
    told = app.run("""
      const token = await mint();
      token.connection.url = token.connection.url.replace(/model=.*/, "model=gpt-unknown");
      const session = connect(token);
      const closed = new Promise((resolve) => session.addEventListener("close", (e) => resolve(e.detail.error)));
      const thrown = await (async () => { for await (const _ of session); })().catch((error) => error);
      const rejected = await session.ready.catch((error) => error);
      return { same: thrown === rejected && thrown === await closed, error: told(thrown) };
    """)
    assert told["same"]
    assert (told["error"]["code"], told["error"]["closeCode"]) == ("invalid_model", 4000)


def test_a_refusal_at_the_upgrade_tells_whether_the_secret_had_expired(app: App) -> None:
    """Browsers hide the 401; the secret's own end tells what it was."""
    with http_server(401) as port:
        told = app.run(
            """
            const token = await mint();
            token.connection.url = given.url;
            const fresh = await connect(token).ready.catch(told);
            const late = await connect({ ...token, expires_at: 1 }).ready.catch(told);
            return [fresh, late];
            """,
            url=f"ws://127.0.0.1:{port}/",
        )
    assert [(error["code"], error["expired"]) for error in told] == [
        ("connection_lost", False),
        ("connection_lost", True),
    ]


def test_a_lost_session_is_replaced_where_asked_for(app: App, sandbox: Sandbox) -> None:
    """The wire is cut: a new session opens with a new secret, and goes on being the same object."""
    with wire_to(sandbox) as line:
        app.run(
            """
            globalThis.seen = { opened: 0, secrets: new Set(), delays: [], codes: [] };
            globalThis.session = connect(mintForPort, { reconnect: { minDelay: 0.05 } });
            session.addEventListener("token", ({ detail }) => seen.secrets.add(detail.value));
            session.addEventListener("open", () => seen.opened++);
            session.addEventListener("retry", ({ detail }) => {
              seen.delays.push(detail.delay);
              seen.codes.push(detail.error.code);
            });
            await session.ready;
            """,
            port=line.port,
        )
        line.cut()
        app.page.wait_for_function("() => seen.opened === 2")
        told = app.run("""
          const answered = new Promise((resolve) => session.addEventListener("response.done", resolve));
          session.send({ type: "response.create" });
          await answered;
          session.close();
          return { ...seen, secrets: seen.secrets.size };
        """)
    assert told["secrets"] == 2
    assert told["codes"] == ["connection_lost"]
    assert 0.025 <= told["delays"][0] <= 0.05


def test_a_lost_session_is_an_error_by_default(app: App, sandbox: Sandbox) -> None:
    """Who did not ask for reconnection is told, and nothing more is minted."""
    with wire_to(sandbox) as line:
        app.run(
            """
            const token = await mintForPort();
            const session = connect(() => token);
            globalThis.lost = new Promise((resolve) =>
              session.addEventListener("close", ({ detail }) => resolve(told(detail.error))));
            await session.ready;
            """,
            port=line.port,
        )
        line.cut()
        error = app.page.evaluate("() => lost")
    assert (error["code"], error["closeCode"]) == ("connection_lost", 1006)


def test_a_busy_service_is_asked_again_after_its_own_delay(app: App) -> None:
    """``Retry-After`` is the shortest backoff; ``close`` ends the wait at once."""
    told = app.run("""
      let asked = 0;
      const session = connect(() => {
        asked++;
        throw new TokenError("Too many requests", { status: 429, code: "rate_limit_exceeded", retryAfter: 42 });
      }, { reconnect: true });
      const closed = new Promise((resolve) => session.addEventListener("close", ({ detail }) => resolve(detail)));
      const delay = await new Promise((resolve) => session.addEventListener("retry", (e) => resolve(e.detail.delay)));
      session.close();
      return { asked, delay, error: (await closed).error };
    """)
    assert told["asked"] == 1
    assert 42 <= told["delay"] <= 43
    assert told["error"] is None


def test_giving_up_ends_after_the_attempts_that_were_allowed(app: App) -> None:
    """A service that stays away is not asked for ever; a refusal is not repeated at all."""
    told = app.run("""
      const count = async (status) => {
        let asked = 0;
        const source = () => {
          asked++;
          throw new TokenError("No", { status, code: "no" });
        };
        const session = connect(source, { reconnect: { attempts: 3, minDelay: 0.001 } });
        await session.ready.catch(() => {});
        return asked;
      };
      return [await count(503), await count(401)];
    """)
    assert told == [4, 1]


def test_a_service_that_hangs_is_given_up_like_one_that_refuses(app: App) -> None:
    """An attempt that takes longer than the longest delay is a failure all the same: no session was open meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = app.run(
            COUNT_ATTEMPTS
            + "return count((options) => requestToken(given.url, jwt, { ...options, timeout: 0.05 }));",
            url=f"http://127.0.0.1:{silent.getsockname()[1]}/token",
        )
    assert told == {"asked": 3, "error": "unreachable"}


def test_a_vendor_that_hangs_is_given_up_too(app: App) -> None:
    """The socket is never accepted, although each secret is minted."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = app.run(
            COUNT_ATTEMPTS
            + """
            const token = await mint();
            token.connection.url = given.url;
            return count(() => token, { timeout: 0.05 });
            """,
            url=f"ws://127.0.0.1:{silent.getsockname()[1]}/",
        )
    assert told == {"asked": 3, "error": "connection_lost"}


def test_a_session_that_held_for_longer_than_the_longest_delay_was_a_success(
    app: App, sandbox: Sandbox
) -> None:
    """The trouble after it is a new one, and the attempts are counted anew."""
    with wire_to(sandbox) as line:
        app.run(
            """
            globalThis.held = { sessions: 0, since: 0 };
            globalThis.session = connect(mintForPort, { reconnect: { attempts: 1, minDelay: 0.01, maxDelay: 0.05 } });
            session.addEventListener("open", () => Object.assign(held, { sessions: held.sessions + 1,
              since: performance.now() }));
            """,
            port=line.port,
        )
        for session in (1, 2, 3):
            app.page.wait_for_function(
                "(session) => held.sessions === session && performance.now() - held.since > 100", arg=session
            )
            line.cut()
        app.page.wait_for_function("() => held.sessions === 4")
        app.run("session.close();")


def test_a_silent_server_is_given_up(app: App) -> None:
    """``timeout`` bounds the wait for the first event."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = app.run(
            """
            const token = await mint();
            token.connection.url = given.url;
            const began = performance.now();
            const error = await connect(token, { timeout: 0.2 }).ready.catch(told);
            return { code: error.code, waited: (performance.now() - began) / 1000 };
            """,
            url=f"ws://127.0.0.1:{silent.getsockname()[1]}/",
        )
    assert told["code"] == "connection_lost"
    assert 0.2 <= told["waited"] < 10  # the browser itself gives up after minutes


def test_closing_before_the_mint_opens_nothing(app: App) -> None:
    """``ready`` rejects as aborted, ``close`` is told without an error, and sending is a mistake."""
    told = app.run("""
      let opened = 0;
      const session = connect(mint);
      session.addEventListener("open", () => opened++);
      const closed = new Promise((resolve) => session.addEventListener("close", ({ detail }) => resolve(detail.error)));
      session.close();
      const ready = await session.ready.catch(({ name }) => name);
      let sent;
      try { session.send({ type: "response.create" }); } catch ({ name }) { sent = name; }
      return { opened, ready, sent, error: await closed };
    """)
    assert told == {"opened": 0, "ready": "AbortError", "sent": "InvalidStateError", "error": None}


def test_an_event_after_close_is_a_mistake_that_the_app_is_told_of(app: App) -> None:
    """The socket closes by and by; the browser would drop the event, and complain on its console only."""
    told = app.run("""
      const session = connect(mint);
      const closed = new Promise((resolve) => session.addEventListener("close", resolve));
      await session.ready;
      session.close();
      const sent = (() => { try { session.send({ type: "response.create" }); } catch ({ name }) { return name; } })();
      await closed;
      return sent;
    """)
    assert told == "InvalidStateError"


def test_webrtc_offers_to_the_calls_url_with_the_secret(app: App) -> None:
    """The vendor's answer is set on the peer connection; a spent secret is replaced here as well."""
    told = app.run("""
      const offerTo = async (source) => {
        const peer = new RTCPeerConnection();
        peer.addTransceiver("audio");
        peer.createDataChannel("oai-events");
        const call = await connectWebRTC(peer, source);
        const told = { state: peer.signalingState, location: call.location };
        peer.close();
        return told;
      };
      const spent = await mint();
      const first = await offerTo(spent);
      const secrets = [spent];
      const second = await offerTo((options) => secrets.pop() ?? mint(options));
      const refused = await offerTo(spent).catch(told);
      return { first, second, refused };
    """)
    assert told["first"]["state"] == told["second"]["state"] == "stable"
    assert "/realtime/calls/" in told["first"]["location"]
    assert told["refused"]["code"] == "ephemeral_token_already_used"
