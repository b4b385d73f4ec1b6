"""The token service and the sandbox as a stranger runs them: real gunicorn, real sockets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.support.processes import PYTHON, Running, accepts_connections, bare_environ, free_port, running
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


def worker_pid(run: Running) -> int:
    """Find gunicorn's only worker."""
    (worker,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    return int(worker)


@contextmanager
def running_sandbox(*options: str) -> Iterator[Sandbox]:
    """Run ``python -m service sandbox`` on a free port."""
    port = free_port()
    command = (PYTHON, "-m", "service", "sandbox", "--port", str(port), *options)
    with running(command, environ=bare_environ(), ready=lambda run: "sandbox: " in run.output) as run:
        base_url = run.output.partition("sandbox: ")[2].split()[0]
        yield Sandbox(base_url, run)


@dataclass
class TokenService:
    """A running token service; its methods are what a client does."""

    url: str
    run: Running
    headers: dict[str, str] = field(default_factory=dict)

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
        return requests.post(self.url + path, headers=headers, timeout=30, **payload, **options)

    def token(self, body: Any = None, **options: Any) -> requests.Response:
        """Ask for a client secret, as an app does."""
        return self.post("/token", body, **options)

    def request(self, method: str, path: str) -> requests.Response:
        """Send a request without a body, with a user's JWT."""
        headers = {"Authorization": f"Bearer {sign()}"}
        return requests.request(method, self.url + path, headers=headers, timeout=30)

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **options)


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
        "HOST": "127.0.0.1",
    }
    return bare_environ(**(settings | variables))


@contextmanager
def running_service(
    upstream: str,
    *options: str,
    app: str = "wsgi:app",
    environ: Mapping[str, str] | None = None,
    **variables: str,
) -> Iterator[TokenService]:
    """Run the Procfile's command on a free port. A variable set to ``""`` counts as unset."""
    port = free_port()
    environ = environ or service_environ(upstream, PORT=str(port), **variables)

    def is_ready(_: Running) -> bool:
        if not accepts_connections(port):
            return False
        try:
            return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).ok
        except requests.ConnectionError:
            return False  # the master listens before its workers have started, or while they cannot

    with running((*GUNICORN, *options, app), environ=environ, ready=is_ready) as run:
        yield TokenService(f"http://127.0.0.1:{port}", run)
