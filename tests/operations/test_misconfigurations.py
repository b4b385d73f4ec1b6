"""Whatever is wrong with an environment, the first line that a person sees names the variable and the fix."""

from __future__ import annotations

import json
import os
import re
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from service.check.command import checks
from service.check.finding import Report
from service.settings import Settings
from tests.support.forks import run_command
from tests.support.misconfigurations import GOOD, MISNAMED, MISTAKES, Mistake
from tests.support.processes import PYTHON, ROOT, accepts_connections, bare_environ, free_port, running
from tests.support.redis import RedisServer
from tests.support.service import Sandbox, running_service, service_environ
from tests.support.tokens import AUDIENCE, ISSUER, SECRET

PROCFILE = (ROOT / "Procfile").read_text().partition("web:")[2].strip()
PREFIX = "exec python -m service "
CHECK = f"{PREFIX}check"
NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:9"}
"""The vendor is not asked: who checks an environment in which nothing else is wrong is told so at once."""
STARTED_ANEW = {
    "docker --env-file keeps the quotation marks of the key",
    "... of a policy, with credentials in it",
    "a byte order mark",
    "a line with Windows line ends",
    "the key under another name",
    "a base without its version",
    "a Keycloak in the clear",
    "a pattern below a public suffix",
    "processes in words",
    "no process",
    "a secret's file that is not there",
}
"""One of each kind is run by a shell in an interpreter of its own, as are those that libraries read at import."""


def by_title(mistake: Mistake) -> str:
    """Name a case."""
    return mistake.title


def run_line(line: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a line as a host's shell does, to its end."""
    path = os.pathsep.join([str(Path(PYTHON).parent), environ["PATH"]])
    command = ["sh", "-c", line]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_there_are_more_than_eighty_and_none_is_there_twice() -> None:
    titles = {mistake.title for mistake in MISTAKES}
    assert len(titles) == len(MISTAKES) > 80
    assert titles > STARTED_ANEW


def test_the_environment_that_they_differ_from_is_good() -> None:
    settings = Settings.from_environ(GOOD)
    assert settings.warnings() == ()
    assert Report(checks(GOOD)["variables"]()).lines == ["✓ variables: all valid", "✓ Fit to serve."]


def run_mistake(line: str, mistake: Mistake) -> subprocess.CompletedProcess[str]:
    """Run a line in a wrong environment, to its end: by a shell, or as a fork."""
    assert line.startswith(PREFIX)
    environ = bare_environ(**NO_NETWORK) | mistake.environ
    if mistake.title in STARTED_ANEW:
        return run_line(line, environ)
    return run_command(*line.removeprefix(PREFIX).split(), environ=environ)


@pytest.mark.parametrize("mistake", MISTAKES, ids=by_title)
def test_a_start_says_first_which_variable_is_wrong_and_what_fixes_it(mistake: Mistake) -> None:
    """By the Procfile's line; the last line tells that there may be more above."""
    started = run_mistake(PROCFILE, mistake)
    first, *_, last = started.stderr.splitlines()
    assert (started.returncode, started.stdout) == (1, "")
    assert first.startswith(f"{mistake.variable}: ")
    assert mistake.fix in first
    assert re.fullmatch(
        r"The environment has (one problem|\d+ problems); run `python -m service check` for details\.", last
    )
    for foreign in ("canary", "Traceback", "Value error"):
        assert foreign not in started.stderr


@pytest.mark.parametrize("mistake", MISTAKES, ids=by_title)
def test_check_says_first_which_variable_is_wrong_and_what_fixes_it(mistake: Mistake) -> None:
    checked = run_mistake(CHECK, mistake)
    first, *_, last = checked.stdout.splitlines()
    assert (checked.returncode, checked.stderr) == (1, "")
    assert first.startswith(f"✗ variable {mistake.variable}: ")
    words, _, advice = first.partition(" → ")
    assert words
    assert advice.strip() not in {"", mistake.variable, f"correct {mistake.variable}"}
    assert mistake.fix in first
    assert last.startswith("✗ Not fit to serve. To fix: variable ")
    assert "canary" not in checked.stdout


LEFTOVERS = {
    '"{}"': "quotation marks",
    "'{}'": "quotation marks",
    "\ufeff{}": "BOM",
    "{} ": "remove it",
    "{}\n": "remove it",
}


@pytest.mark.parametrize("leftover", LEFTOVERS)
@pytest.mark.parametrize("in_files", [False, True], ids=["values", "paths"])
def test_what_an_editor_or_docker_leaves_is_recognised_in_every_variable_at_once(
    leftover: str, *, in_files: bool
) -> None:
    """But around a key, from which white space is stripped."""
    fix, files = LEFTOVERS[leftover], {name for name in Settings.names() if name.endswith("_FILE")}
    names = files if in_files else Settings.names() - files
    environ = bare_environ(JWT_ISSUER=ISSUER, JWT_AUDIENCE=AUDIENCE)
    environ |= {name: leftover.format("canary-0123456789") for name in names}
    started = run_command("serve", "--no-env-file", environ=environ)
    *lines, last = started.stderr.splitlines()
    told = {line.partition(": ")[0] for line in lines if fix in line}
    assert len(told) == len(lines), "each is told once, and nothing else"
    assert names - told == ({"OPENAI_API_KEY"} if fix == "remove it" and not in_files else set())
    assert last.startswith(f"The environment has {len(lines)} problems")
    assert "canary" not in started.stderr


@pytest.mark.parametrize("name", MISNAMED)
def test_a_variable_under_another_name_is_a_warning_of_the_start_and_of_check(
    name: str, sandbox: Sandbox
) -> None:
    environ = {**GOOD, "OPENAI_BASE_URL": sandbox.base_url, name: "canary"}
    [warning] = Settings.from_environ(environ).warnings()
    checked = run_command("check", environ=bare_environ() | environ)
    assert (checked.returncode, checked.stderr) == (0, "")
    first, *_, last = checked.stdout.splitlines()
    assert warning.endswith(MISNAMED[name])
    assert first.startswith("! variable ")
    assert first.endswith(MISNAMED[name])
    assert last.startswith("! Fit to serve. Warnings: variable ")
    assert "canary" not in warning + checked.stdout


@pytest.mark.parametrize(
    "name", ["HOSTNAME", "HTTP_PROXY", "REDIS_TLS_URL", "PATH", "LANG", "SHELL", "NO_COLOR"]
)
def test_what_every_machine_has_is_not_taken_for_a_misspelt_variable(name: str) -> None:
    assert Settings.from_environ({**GOOD, name: "something"}).warnings() == ()


def test_a_start_logs_a_summary_and_its_warnings_and_no_secret() -> None:
    """As one line of what is in force, and one for each warning."""
    port = free_port()
    environ = service_environ(
        "http://127.0.0.1:1/v1",
        PORT=str(port),
        OPENAI_KEY="sk-canary-elsewhere",
        WEB_CONCURRENCY="3",
        ALLOWED_ORIGINS="capacitor://localhost",
        SESSION_POLICY='{"profiles": {"kiosk": {}}}',
    )
    command = (PYTHON, "-m", "service", "serve", "--no-env-file")
    with running(command, environ=environ, ready=lambda _: accepts_connections(port)) as run:
        log = run.output
    lines = [json.loads(line) for line in log.splitlines()]
    [summary] = [line for line in lines if line["event"] == "settings in force"]
    assert summary["sign_in"] == ["JWT_SECRET"]
    assert summary["models"] == ["gpt-realtime-2.1"]
    assert summary["limit_per_user"] == "100000 in 1 minute"
    assert (summary["limit_storage"], summary["processes"]) == ("memory", 1)
    assert (summary["profiles"], summary["session_policy"]) == (1, True)
    assert summary["allowed_origins"] == ["capacitor://localhost"]
    assert (summary["trusted_proxy_hops"], summary["warnings"]) == (0, 3)
    warnings = [line["event"] for line in lines if line["level"] == "warning"]
    assert any(line.startswith("OPENAI_KEY: is not read; rename it to OPENAI_API_KEY") for line in warnings)
    assert any(line.startswith("WEB_CONCURRENCY: 3 processes were asked for") for line in warnings)
    assert any(line.startswith("RATE_LIMIT_STORAGE_URL: calls are kept in memory") for line in warnings)
    assert "canary" not in log


@pytest.mark.parametrize(
    ("arguments", "reads_it"),
    [
        (("check",), True),
        (("limits", "--user", "ada"), True),
        (("limits",), False),
        (("policy",), False),
        (("issue-jwt", "--sub", "ada"), False),
    ],
)
def test_processes_in_words_end_no_command_in_a_traceback(
    arguments: tuple[str, ...], *, reads_it: bool
) -> None:
    """Commands that read the whole environment report it like every other variable; the others do not need it."""
    environ = service_environ("http://127.0.0.1:1/v1", WEB_CONCURRENCY="two")
    done = run_line(f"python -m service {' '.join(arguments)}", environ)
    assert ("WEB_CONCURRENCY: " in done.stdout + done.stderr) is reads_it
    assert "Traceback" not in done.stderr


def test_processes_in_words_do_not_keep_the_sandbox_from_starting() -> None:
    port = free_port()
    command = (PYTHON, "-m", "service", "sandbox", "--port", str(port))
    with running(
        command, environ=bare_environ(WEB_CONCURRENCY="two"), ready=lambda run: "sandbox: " in run.output
    ) as run:
        assert "Traceback" not in run.output


@pytest.mark.parametrize("content", ["{secret}", "{secret}\n", "{secret}\r\n", "\ufeff{secret}\n"])
def test_each_secret_can_be_given_as_a_file(content: str, tmp_path: Path) -> None:
    """As Docker and Kubernetes mount them, with the line break that editors add."""
    secrets = {
        "OPENAI_API_KEY": "sk-of-a-file",
        "JWT_SECRET": "a-secret-that-has-at-least-32-bytes",
        "SAFETY_IDENTIFIER_SECRET": "another-secret",
        "METRICS_TOKEN": "a-token-for-prometheus",
        "ADMIN_TOKEN": "a-token-for-the-admin-of-32-characters",
        "REDIS_URL": "redis://:password@127.0.0.1:6379/0",
        "RATE_LIMIT_STORAGE_URL": "redis://:password@127.0.0.1:6379/1",
        "HTTPS_PROXY": "http://user:password@proxy.internal:3128",
    }
    assert set(secrets) == {name.removesuffix("_FILE") for name in Settings.names() if name.endswith("_FILE")}
    environ = {name: value for name, value in GOOD.items() if name not in secrets}
    for name, secret in secrets.items():
        (tmp_path / name).write_text(content.format(secret=secret), encoding="utf-8", newline="")
        environ[f"{name}_FILE"] = str(tmp_path / name)
    # With local, revocations cannot be checked while the storage is down, which is warned about.
    settings = Settings.from_environ(environ | {"RATE_LIMIT_ON_STORAGE_FAILURE": "deny"})
    assert settings.secrets == set(secrets.values())
    assert settings.warnings() == ()


def test_a_service_runs_on_secrets_in_files(sandbox: Sandbox, redis: RedisServer, tmp_path: Path) -> None:
    """Each is the one that is used: for the vendor, the user, the storage, Prometheus and the admin."""
    redis.client.flushall()
    secrets = {
        "OPENAI_API_KEY": "sk-of-a-file",
        "JWT_SECRET": SECRET,
        "METRICS_TOKEN": "a-token-for-prometheus",
        "ADMIN_TOKEN": "a-token-for-the-admin-of-32-characters",
        "REDIS_URL": redis.url,
    }
    for name, secret in secrets.items():
        (tmp_path / name).write_text(f"{secret}\n")
    files = {f"{name}_FILE": str(tmp_path / name) for name in secrets}
    sandbox.reset()
    with running_service(sandbox.base_url, **dict.fromkeys(secrets, ""), **files) as service:
        assert service.token().status_code == 200
        assert redis.client.keys("*")
        for path, name in (("/metrics", "METRICS_TOKEN"), ("/admin/calls", "ADMIN_TOKEN")):
            assert service.get(path, headers={"Authorization": f"Bearer {secrets[name]}"}).status_code == 200
        assert all(secret not in service.run.output for secret in secrets.values())
    [mint] = sandbox.mints()
    assert mint["key_sha256"] == sha256(secrets["OPENAI_API_KEY"].encode()).hexdigest()
