"""Nothing leaks: every route, failure and fault at DEBUG with marked secrets, and none of the marks anywhere."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest
import requests

from service.observe.logs import REDACTED
from tests.support.forks import run_command
from tests.support.processes import ROOT, free_port
from tests.support.service import GUNICORN, Sandbox, TokenService, running_service, service_environ
from tests.support.tokens import sign
from tests.support.vendor import Answer, Vendor, scripted_vendor

KEY = "sk-canary-KEY-7f3a91c2"
JWT_SECRET = "canary-JWT-SECRET-0123456789abcdef-7f3a91c2"
SAFETY_SECRET = "canary-SAFETY-SECRET-7f3a91c2"
METRICS_TOKEN = "canary-METRICS-TOKEN-7f3a91c2"
PASSWORD = "canary+STORAGE/PASSWORD:7f3a91c2"
SUBJECT = "canary-ada-7f3a91c2@example.com"
FAULTS = ("401", "429", "500", "503", "html", "truncated", "empty", "hang", "drip", "reset")
MODELS = ",".join(["gpt-realtime-2.1", *(f"fault-{fault}" for fault in FAULTS)])


def spellings(secret: str) -> set[str]:
    """Write a secret in every way that a log might."""
    escaped = {json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret), quote(secret, safe="")}
    return {secret, *escaped, base64.b64encode(secret.encode()).decode().rstrip("=")}


@dataclass
class Canary:
    """A service with marked secrets, and everything that was seen of it."""

    service: TokenService
    tokens: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    answers: list[str] = field(default_factory=list)
    log: str = ""

    def ask(
        self, method: str, path: str, *, jwt: str | None = None, **options: object
    ) -> requests.Response | None:
        """Send a request and keep its answer, but for the client secret that a good one is about."""
        token = sign(JWT_SECRET, sub=SUBJECT) if jwt is None else jwt
        self.tokens.add(token)
        headers = {"Authorization": f"Bearer {token}", **dict(options.pop("headers", {}))}  # type: ignore[call-overload]
        with suppress(requests.ConnectionError):
            answer = requests.request(method, self.service.url + path, headers=headers, timeout=30, **options)  # type: ignore[arg-type]
            self.keep(answer)
            return answer
        return None

    def keep(self, answer: requests.Response) -> None:
        """Note what an answer shows besides the one secret it is there to show."""
        text = f"{answer.headers}\n{answer.text}"
        for secret in re.findall(r"\bek_\w+", answer.text):
            self.secrets.add(secret)
            if answer.ok:
                text = text.replace(secret, "…")
        self.answers.append(text)

    def seen(self) -> str:
        """Everything that left the service: its log and its answers."""
        return "\n".join([self.log, *self.answers])

    def marks(self) -> Iterable[str]:
        """What must not be in there."""
        signatures = {token.rpartition(".")[2] for token in self.tokens if token.count(".") >= 2}
        for secret in (
            KEY,
            JWT_SECRET,
            SAFETY_SECRET,
            METRICS_TOKEN,
            PASSWORD,
            SUBJECT,
            *self.tokens,
            *self.secrets,
        ):
            yield from spellings(secret)
        yield from (signature for signature in signatures if len(signature) > 10)


def leaked(seen: str, marks: Iterable[str]) -> list[str]:
    """List the lines that hold a mark."""
    wanted = {mark for mark in marks if len(mark) > 5}
    return [line for line in seen.splitlines() if any(mark in line for mark in wanted)]


def marked_variables() -> dict[str, str]:
    """Set every secret there is; the storage is unavailable."""
    return {
        "OPENAI_API_KEY": KEY,
        "JWT_SECRET": JWT_SECRET,
        "SAFETY_IDENTIFIER_SECRET": SAFETY_SECRET,
        "METRICS_TOKEN": METRICS_TOKEN,
        "RATE_LIMIT_STORAGE_URL": f"redis://default:{quote(PASSWORD, safe='')}@127.0.0.1:{free_port()}/0",
    }


@contextmanager
def marked_service(upstream: str, **variables: str) -> Iterator[Canary]:
    """Run a service whose every secret is marked, with a storage that is unavailable, at DEBUG."""
    marked = marked_variables() | {
        "ALLOWED_MODELS": MODELS,
        "ALLOWED_ORIGINS": "https://app.example.com",
        "UPSTREAM_TIMEOUT": "1",
        "LOG_LEVEL": "DEBUG",
    }
    with running_service(upstream, app="tests.operations.broken_app:app", **(marked | variables)) as service:
        canary = Canary(service)
        yield canary
        service.run.stop()
        canary.log = service.run.output


def every_route(canary: Canary) -> None:
    """Take each route, well and with what each refuses."""
    canary.ask("POST", "/token", json={})
    canary.ask("POST", "/token", json={}, headers={"Origin": "https://app.example.com"})
    canary.ask(
        "OPTIONS",
        "/token",
        headers={"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"},
    )
    canary.ask("POST", "/v1/realtime/client_secrets", json={"session": {"type": "realtime"}})
    canary.ask(
        "POST", "/v1/realtime/translations/client_secrets", json={"session": {"model": "gpt-realtime-2.1"}}
    )
    for path in (
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/demo",
        "/static/realtime.js",
        "/nope",
        "/broken",
    ):
        canary.ask("GET", f"{path}?access_token={sign(JWT_SECRET)}&key={KEY}")
    canary.ask("GET", "/metrics", jwt=METRICS_TOKEN)
    canary.ask("DELETE", "/token")


def every_refusal(canary: Canary) -> None:
    """Present credentials and bodies that are refused."""
    for jwt in (
        "",
        "opaque-token-7f3a91c2",
        f"a.{KEY}.c",
        sign("x" * 32),
        sign(JWT_SECRET, exp=1),
        "x" * 9000,
    ):
        canary.ask("POST", "/token", jwt=jwt, json={})
    for changes in ({"aud": "another"}, {"iss": f"https://{KEY}.example"}, {"sub": " "}, {"exp": 10**12}):
        canary.ask("POST", "/token", jwt=sign(JWT_SECRET, **{"sub": SUBJECT, **changes}), json={})
    canary.ask("POST", "/token", jwt=sign(JWT_SECRET, headers={"kid": "k\r\n" * 100}), json={})
    for body in (
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"session": {"max_output_tokens": 99999}}',
        b"x" * 100_000,
    ):
        canary.ask("POST", "/token", data=body, headers={"Content-Type": "application/json"})
    canary.ask("POST", "/token", data="model=x")
    canary.ask("POST", "/token", json={"model": "gpt-4o"})
    canary.ask("POST", "/token", json={"modle": "x"})


def every_malformed_request(canary: Canary) -> None:
    """Send what is no HTTP, with a token where the server may quote it."""
    jwt = sign(JWT_SECRET)
    canary.tokens.add(jwt)
    for raw in (
        f"GET / HTTP/9.9\r\nAuthorization: Bearer {jwt}\r\n\r\n",
        f"POST /token?jwt={jwt} HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {jwt}\r\n\r\n",
        f"POST /token HTTP/1.1\r\nHost: x\r\nBearer {jwt}\r\n\r\n",
        f"POST /token HTTP/1.1\r\nHost: x\r\nX-Long: {jwt * 200}\r\n\r\n",
        f"POST /{jwt * 60} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"POST /token HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {jwt}\r\nTransfer-Encoding: gzip\r\n\r\n",
        f"POST /token HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {jwt}\r\nContent-Length: {jwt}\r\n\r\n",
        f"{jwt}\r\n\r\n",
    ):
        port = int(canary.service.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection, suppress(OSError):
            connection.sendall(raw.encode())
            canary.answers.append(connection.recv(65_536).decode(errors="replace"))


def every_check(environ: dict[str, str]) -> str:
    """Run the commands that read the environment."""
    commands = (
        ["check"],
        ["check", "--json"],
        ["limits", "--user", SUBJECT],
        ["policy", "--explain"],
        ["issue-jwt", "--sub", SUBJECT],
    )
    results = [run_command(*command, environ=environ) for command in commands]
    return "".join(result.stdout + result.stderr for result in results)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nothing_leaks_from_any_route_failure_or_fault(sandbox: Sandbox, log_format: str) -> None:
    """The vendor is the sandbox, with each of its faults; the limit storage is away; the log is at DEBUG."""
    with marked_service(sandbox.base_url, LOG_FORMAT=log_format) as canary:
        every_route(canary)
        every_refusal(canary)
        every_malformed_request(canary)
        for fault in FAULTS:
            canary.ask("POST", "/token", json={"model": f"fault-{fault}"})
    assert len(canary.secrets) >= 3, "no secret was handed out, so none could have leaked"
    assert "unforeseen" in canary.log, "the failing route left no traceback"
    assert "upstream_rejected_credentials" in canary.log
    assert leaked(canary.seen(), canary.marks()) == []
    fenced = [line for line in canary.log.splitlines() if REDACTED in line]
    assert all(
        "unexpected error" in line or "unforeseen" in line or "wrong_issuer" in line for line in fenced
    ), "only the failing route and a token's own issuer may need the last fence"


def echoing(vendor: Vendor) -> Iterator[None]:
    """Let the vendor repeat our key in everything that it says."""
    said = json.dumps(
        {"error": {"message": f"Incorrect key: {KEY}", "type": KEY, "param": KEY, "code": KEY}}
    ).encode()
    for status in (400, 401, 403, 404, 409, 429, 500, 503):
        vendor.will(
            Answer(
                status, said, {"x-request-id": KEY, "Location": f"https://{KEY}.example", "retry-after": "1"}
            )
        )
        yield
    vendor.will(
        Answer(200, KEY.encode()), Answer(302, b"", {"Location": f"https://{KEY}.example"}), Answer(None)
    )
    yield from (None, None, None)


def test_nothing_leaks_from_a_vendor_that_repeats_our_key() -> None:
    """Not to the caller, who reads some of the vendor's words, and not to the log."""
    with scripted_vendor() as vendor, marked_service(vendor.base_url) as canary:
        for _ in echoing(vendor):
            canary.ask("POST", "/token", json={})
            canary.ask("POST", "/v1/realtime/client_secrets", json={"session": {"type": "realtime"}})
    assert len(canary.answers) > 10
    assert leaked(canary.seen(), canary.marks()) == []


def test_nothing_leaks_from_the_commands(sandbox: Sandbox) -> None:
    """With an environment that works, and with one whose every part fails."""
    marked = marked_variables()
    working = service_environ(sandbox.base_url, **marked)
    failing = service_environ(
        f"http://127.0.0.1:{free_port()}/v1", **marked, HTTPS_PROXY=f"http://u:{KEY}@127.0.0.1:1"
    )
    seen = every_check(working) + every_check(failing)
    assert "limit storage" in seen
    marks = {
        mark
        for secret in (KEY, JWT_SECRET, SAFETY_SECRET, METRICS_TOKEN, PASSWORD)
        for mark in spellings(secret)
    }
    assert leaked(seen, marks) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"OPENAI_API_KEY": f"{KEY}\nx"},
        {"JWT_SECRET": "canary-short"},
        {"JWT_PUBLIC_KEY": KEY, "JWT_SECRET": ""},
        {"RATE_LIMIT_STORAGE_URL": f"redis://:{KEY}@["},
        {"RATE_LIMIT_STORAGE_URL": f"rdis://:{KEY}@localhost"},
        {"OPENAI_BASE_URL": f"https://user:{KEY}@api.example/v1"},
        {"METRICS_TOKEN": f"{KEY}\x01"},
        {"SESSION_POLICY": f'{{"instructions": "{KEY}"'},
        {"HTTPS_PROXY": f"http://u:{KEY}@[", "TOKEN_TTL": KEY, "PORT": KEY},
    ],
)
def test_nothing_leaks_from_a_start_that_fails(wrong: dict[str, str]) -> None:
    """Each problem names its variable and not its value."""
    environ = service_environ("https://api.example/v1", **{"METRICS_TOKEN": METRICS_TOKEN, **wrong})
    result = subprocess.run(
        [*GUNICORN, "--check-config", "wsgi:app"],
        check=False,
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    seen = result.stdout + result.stderr
    marks = {mark for secret in (KEY, METRICS_TOKEN, "canary-short") for mark in spellings(secret)}
    assert leaked(seen, marks) == []
