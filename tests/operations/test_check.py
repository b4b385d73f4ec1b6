"""``python -m service check`` tells what is wrong with an environment, and how to fix it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from service.check.finding import Finding, ok, run
from service.check.host import HOSTS, check_proxies, check_workers, find_host
from service.check.vendor import Account, VendorAnswer, judge
from service.http.client_address import AddressSource
from tests.support.forks import run_command
from tests.support.identity_provider import identity_provider
from tests.support.processes import free_port
from tests.support.redis import running_redis
from tests.support.service import API_KEY, Sandbox, service_environ

NOW = 1_790_000_000.0  # 2026-09-21
PASSWORD = "hunter2-marked-password"
MODELS = {"gpt-realtime-2.1": {}, "gpt-realtime": {"shutdown_date": "2027-01-20"}}


Check = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def check() -> Check:
    """Run the command with an environment, and options."""
    return lambda environ, *options: run_command("check", *options, environ=environ)


def answer(**changes: Any) -> VendorAnswer:
    """Make a vendor's answer without fault, but for the changes."""
    good = {"status": 200, "code": None, "date": formatdate(NOW, usegmt=True), "models": MODELS}
    return VendorAnswer(**{**good, "sent": NOW, "received": NOW + 0.2, **changes})


def judged(vendor_answer: VendorAnswer, part: str, model: str = "gpt-realtime-2.1") -> Finding:
    """Judge an answer, and return what is said of one part."""
    account = Account("https://api.example/v1", "key", "put a valid key there", "https://api.openai.com/v1")
    findings = judge(vendor_answer, account=account, models=[model])
    return next(finding for finding in findings if finding.part.startswith(part))


def test_all_is_ok_with_the_sandbox(sandbox: Sandbox) -> None:
    """Each part has its line, and the exit status is 0."""
    result = run_command("check", environ=service_environ(sandbox.base_url, CALL_TYPES="none"))
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert all(line.startswith("✓ ") for line in lines)
    assert lines.pop() == "✓ Fit to serve."
    parts = [line.removeprefix("✓ ").partition(":")[0] for line in lines]
    expected = [
        "variables",
        "key",
        "model gpt-realtime-2.1",
        "clock",
        "JWKS",
        "limit storage",
        "calls",
        "proxies",
        "workers",
    ]
    assert parts == expected


def test_variables_without_a_problem_are_valid_beside_a_warning(check: Check, sandbox: Sandbox) -> None:
    """Of calls in memory, which is worth a look and no problem."""
    lines = check(service_environ(sandbox.base_url)).stdout.splitlines()
    assert "✓ variables: all valid" in lines
    assert any(line.startswith("! variable RATE_LIMIT_STORAGE_URL: ") for line in lines)


def test_machines_read_the_same_as_json(check: Check, sandbox: Sandbox) -> None:
    """One object, whose findings have the members of each line."""
    result = check(
        service_environ(sandbox.base_url, ALLOWED_MODELS="gpt-realtime-2.1,gpt-nonsense"), "--json"
    )
    report = json.loads(result.stdout)
    assert result.returncode == 1
    assert report["ok"] is False
    problems = [finding for finding in report["findings"] if not finding["ok"]]
    assert [finding["part"] for finding in problems] == ["model gpt-nonsense"]
    assert all(finding["fix"] for finding in problems)


def test_a_refused_key_is_named_and_not_shown(check: Check, sandbox: Sandbox) -> None:
    """The fix says which variable; the key itself stays out of the report."""
    result = check(service_environ(sandbox.base_url, OPENAI_API_KEY="sk-invalid-marked"))
    assert result.returncode == 1
    assert "✗ key: " in result.stdout
    assert "OPENAI_API_KEY" in result.stdout
    assert "marked" not in result.stdout + result.stderr


def test_every_problem_of_the_environment_is_listed_and_the_rest_still_checked(
    check: Check, sandbox: Sandbox
) -> None:
    """A wrong limit does not hide a wrong secret, nor that the key is good."""
    environ = service_environ(
        sandbox.base_url,
        JWT_SECRET="short-marked",
        RATE_LIMIT_PER_USER="5/fortnight",
        RATE_LIMIT_GLOBLA="1/minute",
    )
    result = check(environ)
    assert result.returncode == 1
    assert "✗ variable JWT_SECRET: " in result.stdout
    assert "✗ variable RATE_LIMIT_PER_USER: " in result.stdout
    assert "! variable RATE_LIMIT_GLOBLA: is not read → rename it to RATE_LIMIT_GLOBAL" in result.stdout
    assert "✓ key: " in result.stdout
    assert "marked" not in result.stdout + result.stderr


def test_a_storage_that_is_away_is_named_without_its_password(check: Check, sandbox: Sandbox) -> None:
    """Nobody listens there; the report shows where it looked."""
    url = f"redis://default:{PASSWORD}@127.0.0.1:{free_port()}/0"
    result = check(service_environ(sandbox.base_url, RATE_LIMIT_STORAGE_URL=url))
    assert result.returncode == 1
    assert "✗ limit storage: redis://" in result.stdout
    assert PASSWORD not in result.stdout + result.stderr


def test_a_vendor_that_is_away_is_reported_at_once(check: Check) -> None:
    """A connection refused is an answer, too."""
    result = check(service_environ(f"http://127.0.0.1:{free_port()}/v1"))
    assert "✗ key: http://127.0.0.1" in result.stdout
    assert "cannot be reached" in result.stdout
    assert API_KEY not in result.stdout + result.stderr


def test_the_identity_providers_keys_are_listed(check: Check, sandbox: Sandbox) -> None:
    """By id and algorithm, so that a token's header can be compared with them."""
    key = {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": "key-2026",
        "use": "sig",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }
    with identity_provider(key) as provider:
        result = check(service_environ(sandbox.base_url, JWT_SECRET="", JWT_JWKS_URL=provider.url))
    assert "✓ JWKS: " in result.stdout
    assert "key-2026 (EdDSA/Ed25519)" in result.stdout


def test_a_key_set_without_a_usable_key_is_a_problem(check: Check, sandbox: Sandbox) -> None:
    """Such as the discovery document that is often given in its place."""
    with identity_provider() as provider:
        provider.serve({"issuer": "https://idp.example", "jwks_uri": "…"})
        result = check(service_environ(sandbox.base_url, JWT_SECRET="", JWT_JWKS_URL=provider.url))
    assert result.returncode == 1
    assert "✗ JWKS: " in result.stdout
    assert "JWT_JWKS_URL" in result.stdout


@pytest.mark.parametrize(
    ("variables", "status", "mark"),
    [
        ({"AUTH_PROVIDER": "supabase:abcdefghijklmnopqrst", "JWT_ISSUER": ""}, 0, "!"),
        ({"JWT_ALLOW_MULTIPLE": "1"}, 1, "✗"),
    ],
    ids=["Supabase's legacy secret", "two sources"],
)
def test_a_key_set_without_keys_is_a_warning_where_the_providers_own_secret_stands_beside_it(
    check: Check, sandbox: Sandbox, variables: dict[str, str], status: int, mark: str
) -> None:
    """A Supabase project that signs with its legacy secret publishes a key set without keys."""
    with identity_provider() as provider:
        provider.serve({"keys": []})
        result = check(service_environ(sandbox.base_url, **variables, JWT_JWKS_URL=provider.url))
    assert result.returncode == status
    assert f"{mark} JWKS: " in result.stdout


def test_the_key_set_of_another_issuer_has_no_secret_beside_it(check: Check, sandbox: Sandbox) -> None:
    """Its tokens can be verified by nothing else."""
    with identity_provider() as provider:
        provider.serve({"keys": []})
        variables = {
            "AUTH_PROVIDER": "supabase:ref",
            "JWT_JWKS_URL": provider.url,
            "JWT_ISSUER": f"https://ref.supabase.co/auth/v1,http://127.0.0.1:{free_port()}",
        }
        result = check(service_environ(sandbox.base_url, **variables))
    assert result.returncode == 1
    assert [line[0] for line in result.stdout.splitlines() if line[2:].startswith("JWKS: ")].count("✗") == 1


@pytest.mark.parametrize(
    ("seconds_off", "is_ok"), [(0, True), (4, True), (-4, True), (30, False), (-30, False)]
)
def test_the_clock_is_compared_with_the_vendors(seconds_off: float, is_ok: bool) -> None:
    """Tokens are judged by this clock; a few seconds are JWT_LEEWAY's affair."""
    date = formatdate(NOW - seconds_off, usegmt=True)
    assert judged(answer(date=date), "clock").ok is is_ok


def test_a_slow_answer_is_no_skew() -> None:
    """The vendor's date is between our question and its answer's arrival."""
    assert judged(answer(sent=NOW - 9, received=NOW + 9), "clock").ok


@pytest.mark.parametrize(
    ("today", "is_ok"), [("2026-09-21", True), ("2027-01-02", False), ("2027-02-01", False)]
)
def test_an_announced_shutdown_is_told_and_close_to_its_date_is_a_problem(today: str, is_ok: bool) -> None:
    """A month before its end, a model's announcement becomes a problem."""
    from datetime import UTC, datetime  # noqa: PLC0415 - for this test alone

    moment = datetime.fromisoformat(today).replace(tzinfo=UTC).timestamp()
    finding = judged(answer(sent=moment, received=moment), "model", "gpt-realtime")
    assert finding.ok is is_ok
    assert "2027-01-20" in finding.seen


@pytest.mark.parametrize("status", [302, 401, 403, 404, 429, 500])
def test_every_other_answer_is_a_problem_and_has_a_fix(status: int) -> None:
    """The vendor's code is shown, its message is not: it may repeat a part of the key."""
    finding = judged(answer(status=status, code="some_code", models=None), "key")
    assert not finding.ok
    assert finding.fix
    assert "some_code" in finding.seen


@pytest.mark.parametrize("host", HOSTS)
def test_no_trusted_hop_behind_a_known_router_is_a_problem(host: Any) -> None:
    """All callers would share the router's address, and each other's failed sign-ins."""
    found = find_host({host.variable: "something"})
    assert found == host
    assert not check_proxies(found, AddressSource(0)).ok
    assert check_proxies(found, AddressSource(host.hops or 1)).ok


def test_too_many_trusted_hops_are_a_problem() -> None:
    """The caller would choose the address that its failures are counted by."""
    heroku = find_host({"DYNO": "web.1"})
    assert check_proxies(heroku, AddressSource(1)).ok
    assert not check_proxies(heroku, AddressSource(2)).ok


def test_on_heroku_processes_that_nobody_asked_for_are_worth_a_look_only(
    check: Check, sandbox: Sandbox
) -> None:
    """The host sets WEB_CONCURRENCY by itself; one process runs without Redis, as the start says."""
    environ = service_environ(
        sandbox.base_url, DYNO="web.1", WEB_CONCURRENCY="2", TRUSTED_PROXY_HOPS="1", CALL_TYPES="none"
    )
    result = check(environ)
    assert result.returncode == 0
    first, *_, last = result.stdout.splitlines()
    assert first.startswith("! workers: WEB_CONCURRENCY=2")
    assert last == "! Fit to serve. Warnings: workers."


def test_a_host_that_names_the_client_needs_no_count_of_proxies() -> None:
    fly = find_host({"FLY_APP_NAME": "tokens"})
    assert "CLIENT_ADDRESS_HEADER=Fly-Client-IP" in str(check_proxies(fly, AddressSource()).fix)
    assert check_proxies(fly, AddressSource(header="Fly-Client-IP")).state == "ok"


def test_the_worst_comes_first_and_the_verdict_last(check: Check, sandbox: Sandbox) -> None:
    """What has to be fixed, what to look at, what is well, and what it comes to."""
    environ = service_environ(
        sandbox.base_url, OPENAI_KEY="x", ALLOWED_MODELS="gpt-nonsense,gpt-realtime-2.1", CALL_TYPES="none"
    )
    lines = check(environ).stdout.splitlines()
    assert [line[0] for line in lines] == [*sorted((line[0] for line in lines[:-1]), key="✗!✓".index), "✗"]
    assert lines[0].startswith("✗ model gpt-nonsense: ")
    assert lines[1] == "! variable OPENAI_KEY: is not read → rename it to OPENAI_API_KEY"
    assert lines[-1] == "✗ Not fit to serve. To fix: model gpt-nonsense; warnings: variable OPENAI_KEY."
    report = json.loads(check(environ, "--json").stdout)
    assert report["verdict"] == lines[-1]
    assert {finding["state"] for finding in report["findings"]} == {"ok", "warning", "problem"}


def test_processes_that_memory_holds_back_are_a_problem() -> None:
    """What the admin asked for is not what runs, and the line says why."""
    finding = check_workers(None, wanted=4, in_memory=True, connections=1000, files=65_536)
    assert not finding.ok
    assert "RATE_LIMIT_STORAGE_URL" in str(finding.fix)
    assert check_workers(None, wanted=4, in_memory=False, connections=1000, files=65_536).ok


def test_too_few_files_are_a_problem() -> None:
    """A request in flight holds two connections."""
    assert not check_workers(None, wanted=1, in_memory=False, connections=1000, files=1024).ok


def test_a_check_that_hangs_or_breaks_is_a_finding() -> None:
    """The report comes in bounded time, whatever a part does."""
    forever = threading.Event()

    def hang() -> list[Finding]:
        forever.wait()
        return []

    def fail() -> list[Finding]:
        raise RuntimeError("sk-marked")

    findings = run({"a": hang, "b": fail, "c": lambda: [ok("c", "fine")]}, timeout=0.2)
    forever.set()
    assert [(finding.part, finding.ok) for finding in findings] == [("a", False), ("b", False), ("c", True)]
    assert "marked" not in str(findings)


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"CALL_TYPES": "none"}, "✓ calls: off (CALL_TYPES=none)"),
        (
            {},
            (
                "✓ calls: kept in memory: they end when the process stops,"
                " and after a crash they run until the vendor ends them"
            ),
        ),
        (
            {"CALL_TYPES": "live"},
            "✓ calls of type live: none can be opened: ALLOWED_MODELS has no model for them",
        ),
    ],
)
def test_it_says_whether_calls_can_be_opened(
    check: Check, sandbox: Sandbox, variables: dict[str, str], line: str
) -> None:
    assert line in check(service_environ(sandbox.base_url, **variables)).stdout.splitlines()


def test_a_redis_that_may_drop_calls_is_a_problem(check: Check, sandbox: Sandbox) -> None:
    with running_redis("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru") as server:
        environ = service_environ(sandbox.base_url, RATE_LIMIT_STORAGE_URL=server.url)
        result = check(environ)
        assert (
            "✗ calls: the storage may drop calls that are open (maxmemory-policy allkeys-lru)"
            in result.stdout
        )
        server.client.config_set("maxmemory-policy", "noeviction")
        assert "✓ calls: can be opened and ended; 0 open now" in check(environ).stdout
        server.kill()
        assert "✗ calls: none can be opened" in check(environ).stdout
