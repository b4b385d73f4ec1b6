"""The token service and the sandbox: in processes of their own, or the app alone in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from threading import Thread
from typing import Any

import requests
from flask import Flask
from requests.adapters import BaseAdapter
from werkzeug.serving import make_server

from service.app import create_app
from service.settings import Settings
from tests.support.forks import start_fork
from tests.support.processes import (
    PYTHON,
    Running,
    accepts_connections,
    bare_environ,
    free_port,
    running,
    start_alone,
)
from tests.support.tokens import AUDIENCE, ISSUER, SECRET, sign

API_KEY = "sk-test-0123456789abcdef"
GUNICORN = (PYTHON, "-m", "gunicorn", "--config", "python:service.gunicorn_conf")


@dataclass
class Sandbox:
    """A running stand-in for the vendor."""

    base_url: str
    run: Running

    def reset(self) -> None:
        requests.post(f"{self.base_url.removesuffix('/v1')}/sandbox/reset", timeout=10).raise_for_status()

    def mints(self) -> list[dict[str, Any]]:
        """List every attempt to mint since the last reset, with the headers and body it came with."""
        answer = requests.get(f"{self.base_url.removesuffix('/v1')}/sandbox/mints", timeout=10)
        answer.raise_for_status()
        mints: list[dict[str, Any]] = answer.json()["mints"]
        return mints


@contextmanager
def running_sandbox(*options: str) -> Iterator[Sandbox]:
    """Run the sandbox on a free port, as what ``python -m service sandbox`` becomes."""
    command = (PYTHON, "-m", "service.sandbox", "--port", str(free_port()), *options)
    with running(
        command, environ=bare_environ(), ready=lambda run: "sandbox: " in run.output, start=start_fork
    ) as run:
        base_url = run.output.partition("sandbox: ")[2].split()[0]
        yield Sandbox(base_url, run)


@dataclass
class TokenService:
    """A token service; its methods are what a client does. ``run`` is its process, where it has one of its own."""

    url: str
    run: Running
    request: Callable[..., requests.Response] = requests.request

    def post(
        self, path: str, body: Any = None, *, jwt: str | None = None, **options: Any
    ) -> requests.Response:
        """Send a JSON body with a user's JWT: a good one, unless another is given (``""``: none)."""
        token = sign() if jwt is None else jwt
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        payload = (
            {"data": options.pop("data")} if "data" in options else {"json": {} if body is None else body}
        )
        return self.request("POST", self.url + path, headers=headers, timeout=30, **payload, **options)

    def token(self, body: Any = None, **options: Any) -> requests.Response:
        """Ask for a client secret, as an app does."""
        return self.post("/token", body, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", self.url + path, timeout=30, **options)


class AppAdapter(BaseAdapter):
    """Hands a request of ``requests`` to an app in this process, and its response back as if it had been sent."""

    def __init__(self, app: Flask) -> None:
        super().__init__()
        self.app = app

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        headers = [
            (name, value.decode("latin-1") if isinstance(value, bytes) else value)
            for name, value in request.headers.items()
        ]
        response = requests.Response()
        with self.app.test_client().open(
            request.path_url, method=request.method, headers=headers, data=request.body or b""
        ) as answer:
            response.raw = BytesIO(answer.data)
        response.status_code, response.url, response.request = answer.status_code, request.url or "", request
        response.headers.update(answer.headers)
        return response

    def close(self) -> None:
        """Nothing is kept open."""


@contextmanager
def serving_app(upstream: str, **variables: str) -> Iterator[TokenService]:
    """Serve the app from a thread of this process, for clients that need an address: a second sooner than gunicorn."""
    app = create_app(Settings.from_environ(service_environ(upstream, **variables)))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield TokenService(f"http://127.0.0.1:{server.server_port}", run=None)  # type: ignore[arg-type]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def app_in_process(upstream: str, **variables: str) -> TokenService:
    """Make the app in this process, for what is only HTTP's shape: no server, no sockets but those to the vendor."""
    app = create_app(Settings.from_environ(service_environ(upstream, **variables)))
    session = requests.Session()
    session.mount("http://", AppAdapter(app))
    return TokenService("http://app.test", run=None, request=session.request)  # type: ignore[arg-type]


def service_environ(upstream: str, **variables: str) -> dict[str, str]:
    """Make the smallest environment that serves; limits are wide, so that tests do not meet them by chance."""
    settings = {
        "OPENAI_API_KEY": API_KEY,
        "OPENAI_BASE_URL": upstream,
        "JWT_SECRET": SECRET,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "RATE_LIMIT_PER_USER": "100000/minute",
        "RATE_LIMIT_GLOBAL": "100000/minute",
        "RATE_LIMIT_FAILED_AUTH": "100000/minute",
        "RATE_LIMIT_REFUSED_PER_USER": "100000/minute",
        "HOST": "127.0.0.1",
    }
    return bare_environ(**(settings | variables))


@contextmanager
def running_service(
    upstream: str,
    *options: str,
    app: str = "wsgi:app",
    environ: Mapping[str, str] | None = None,
    forked: bool = True,
    **variables: str,
) -> Iterator[TokenService]:
    """Run gunicorn as the Procfile does on a free port. A variable set to ``""`` counts as unset.

    It is a fork of a process that has imported the service, unless the start or the memory is what is tested.
    """
    port = free_port()
    environ = environ or service_environ(upstream, PORT=str(port), **variables)

    def is_ready(_: Running) -> bool:
        if not accepts_connections(port):
            return False
        try:
            return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).ok
        except requests.ConnectionError:
            return False  # the master listens before its workers have started, or while they cannot

    start = start_fork if forked else start_alone
    with running((*GUNICORN, *options, app), environ=environ, ready=is_ready, start=start) as run:
        yield TokenService(f"http://127.0.0.1:{port}", run)
