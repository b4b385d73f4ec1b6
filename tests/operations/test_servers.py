"""The app mints under any WSGI server: in greenlets, in one thread, and in several native ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.processes import PYTHON, accepts_connections, free_port, running
from tests.support.service import GUNICORN, Sandbox, TokenService, service_environ
from tests.support.voice import LIVE, MODELS, Voice

SERVERS = {
    "gunicorn's gevent worker": (*GUNICORN, "wsgi:app"),
    "gunicorn's sync worker": (PYTHON, "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "wsgi:app"),
    "waitress": (PYTHON, "-m", "waitress", "--listen=127.0.0.1:{port}", "--threads=4", "wsgi:app"),
    "flask run": (PYTHON, "-m", "flask", "--app", "wsgi", "run", "--port", "{port}", "--no-reload"),
}


@pytest.fixture(params=SERVERS)
def served(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[TokenService]:
    """The service under one of the servers."""
    port = free_port()
    environ = service_environ(sandbox.base_url, PORT=str(port), UPSTREAM_TIMEOUT="5", ALLOWED_MODELS=MODELS)
    command = [part.format(port=port) for part in SERVERS[request.param]]
    with running(command, environ=environ, ready=lambda _: accepts_connections(port)) as run:
        yield TokenService(f"http://127.0.0.1:{port}", run)


def test_twelve_mints_four_at_a_time_are_all_granted(served: TokenService) -> None:
    """A socket of gevent's must not cross native threads: every second request would fail, and the rest hang."""
    with ThreadPoolExecutor(4) as pool:
        answers = [answer.result() for answer in [pool.submit(served.token) for _ in range(12)]]
    assert [answer.status_code for answer in answers] == [200] * 12
    assert len({answer.json()["value"] for answer in answers}) == 12


def test_every_line_about_a_request_has_our_format(served: TokenService) -> None:
    """Whichever server it is: ``wsgi`` configures the logs where gunicorn's settings have not."""
    request_id = served.token(headers={"X-Request-Id": "one-of-ours"}).headers["X-Request-Id"]
    lines = [line for line in served.run.output.splitlines() if request_id in line]
    assert [json.loads(line)["event"] for line in lines] == ["mint", "request"]


def test_a_refusal_is_answered_under_every_server(served: TokenService) -> None:
    assert served.token({"model": "gpt-4o"}).json()["error"]["code"] == "model_not_allowed"
    assert served.token(jwt="junk").status_code == 401


def test_calls_are_opened_and_ended_under_every_server(served: TokenService, sandbox: Sandbox) -> None:
    """Elsewhere than in gunicorn's own worker, who ends them starts with the first request."""
    sandbox.reset()
    voice = Voice(served, sandbox)
    for body in ({"model": LIVE}, {}):
        call_id = voice.opened(**body)
        assert voice.end(call_id).status_code == 204
        voice.wait_until_ended()
        voice.wait_until_told(call_id, "client")
