"""The commands, as typed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner

from service import __version__
from service.cli import main
from tests.support.authentication import sign_in_from
from tests.support.documentation import README
from tests.support.forks import run_command
from tests.support.processes import (
    PYTHON,
    ROOT,
    accepts_connections,
    bare_environ,
    free_port,
    running,
    wait_until,
)
from tests.support.service import TokenService
from tests.support.tokens import AUDIENCE, ISSUER, SECRET

SIGNING = {"JWT_SECRET": f"{SECRET},{SECRET[::-1]}", "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m service …`` to its end."""
    return run_command(*arguments, environ=bare_environ(**environ))


def test_a_development_jwt_is_signed_with_the_first_secret_and_says_what_was_asked() -> None:
    printed = run(
        "issue-jwt", "--sub", "ada", "--tier", "pro", "--scope", "realtime", "--expires-in", "60", **SIGNING
    )

    claims = jwt.decode(
        printed.stdout.strip(), SECRET, algorithms=["HS256"], issuer=ISSUER, audience=AUDIENCE
    )
    assert (claims["sub"], claims["tier"], claims["scope"]) == ("ada", "pro", "realtime")
    assert claims["exp"] - claims["iat"] == 60


@pytest.mark.parametrize(
    "command", ["check", "limits", "policy", "calls", "revoke ada", "issue-jwt --sub ada"]
)
def test_a_command_reads_the_env_file_that_serve_reads_unless_it_is_declined(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment has precedence, as for ``serve``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TOKEN_TTL=5\nRATE_LIMIT_STRATEGY=of-the-file\nJWT_LEEWAY=x\n")
    wrong = re.compile("(TOKEN_TTL|RATE_LIMIT_STRATEGY|JWT_LEEWAY): ")
    environment = {"TOKEN_TTL": "60", "RATE_LIMIT_STRATEGY": "fixed-window", "JWT_LEEWAY": "10"}

    def said(*options: str, **environ: str) -> str:
        return CliRunner().invoke(main, [*command.split(), *options], env=environ).output

    assert wrong.search(said())
    assert not wrong.search(said("--no-env-file"))
    assert not wrong.search(said(**environment))


@pytest.mark.parametrize("name", ["REALTIME_JWT", "JWT"])
def test_connect_reads_the_variables_that_the_demo_exports(name: str, service: TokenService) -> None:
    refused = run("connect", TOKEN_SERVICE=service.url, **{name: "canary"})

    assert refused.returncode == 1
    assert "invalid_token" in refused.stderr


def test_connect_without_a_service_says_which_option_is_missing() -> None:
    refused = run("connect", JWT="canary")

    assert refused.returncode == 2
    assert "--token-url" in refused.stderr


def test_a_command_names_an_env_file_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"A=\xff")

    done = CliRunner().invoke(main, ["limits"])

    assert done.exit_code == 1
    assert "Error: .env is not text in UTF-8" in done.output


def test_a_development_jwt_lives_no_longer_than_tokens_may() -> None:
    printed = run("issue-jwt", "--sub", "ada", **SIGNING, JWT_MAX_LIFETIME="60")

    claims = jwt.decode(printed.stdout.strip(), SECRET, algorithms=["HS256"], audience=AUDIENCE)
    assert claims["exp"] - claims["iat"] == 60


def test_a_development_jwt_is_one_of_the_presets_users() -> None:
    preset = {"AUTH_PROVIDER": "supabase:ref", "JWT_SECRET": SECRET}
    for tier_claim in ("tier", "role"):
        printed = run("issue-jwt", "--sub", "ada", **preset, RATE_LIMIT_TIER_CLAIM=tier_claim).stdout.strip()
        assert sign_in_from(**preset).accepts(printed).subject == "ada"


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        (("--sub", "ada"), {}, "JWT_"),
        (("--sub", " "), SIGNING, "blank"),
        (("--sub", "ada", "--expires-in", "100000"), SIGNING, "JWT_MAX_LIFETIME"),
        ((), SIGNING, "--sub"),
    ],
)
def test_a_jwt_that_cannot_be_issued_is_refused_in_words(
    arguments: tuple[str, ...], environ: dict[str, str], said: str
) -> None:
    refused = run("issue-jwt", *arguments, **environ)

    assert refused.returncode != 0
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_connect_takes_its_jwt_from_the_environment_and_tells_a_refusal_in_words(
    service: TokenService,
) -> None:
    refused = run("connect", "--token-url", f"{service.url}/token", REALTIME_JWT="canary")

    assert refused.returncode == 1
    assert "invalid_token" in refused.stderr
    assert "canary" not in refused.stderr
    torn = run("connect", "--token-url", f"{service.url}/token", REALTIME_JWT="canary\rjwt")
    assert (torn.returncode, "canary" in torn.stderr, "Traceback" in torn.stderr) == (1, False, False)
    assert "copy it again" in torn.stderr


@pytest.mark.parametrize(
    "command", ["demo", "sandbox", "serve", "check", "limits", "policy", "issue-jwt", "connect"]
)
def test_each_command_explains_itself(command: str) -> None:
    helped = run(command, "--help")

    assert helped.returncode == 0
    assert f"python -m service {command}" in helped.stdout
    assert command in run("--help").stdout


def test_the_version_is_the_packages_and_the_readmes_newest() -> None:
    readme = README.read_text()

    assert run("--version").stdout == f"realtime-token-service {__version__}\n"
    assert readme.partition("\n## Changes\n")[2].lstrip().startswith(f"### {__version__} (")


def test_the_browsers_module_says_the_packages_version_in_its_header_and_to_its_importer() -> None:
    """A copy in an app is told apart from another's by it."""
    module = (ROOT / "service" / "static" / "realtime.js").read_text()
    types = (ROOT / "service" / "static" / "realtime.d.ts").read_text()

    assert f" * Version {__version__}. " in module.partition("*/")[0]
    assert f'export const version = "{__version__}";' in module
    assert f'export declare const version = "{__version__}";' in types


def test_the_sandbox_runs_in_any_folder_and_ends_at_a_signal(tmp_path: Path) -> None:
    port = free_port()
    command = (PYTHON, "-m", "service", "sandbox", "--port", str(port))
    environ = bare_environ(PYTHONPATH=str(ROOT))

    with running(
        command, environ=environ, ready=lambda run: "sandbox: " in run.output, cwd=tmp_path
    ) as sandbox:
        assert f"sandbox: http://127.0.0.1:{port}/v1" in sandbox.output.splitlines()
        os.kill(sandbox.pid, signal.SIGINT)
        sandbox.wait(10)
        wait_until(lambda: not accepts_connections(port), seconds=5, what="the end of the sandbox")
