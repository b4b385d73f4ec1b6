"""The commands, as typed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import jwt
import pytest
import requests

from tests.support.processes import (
    PYTHON,
    ROOT,
    Running,
    accepts_connections,
    bare_environ,
    free_port,
    run_command,
    running,
    wait_until,
)
from tests.support.tokens import AUDIENCE, ISSUER, SECRET

SIGNING = {"JWT_SECRET": f"{SECRET},{SECRET[::-1]}", "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m service …`` to its end."""
    return run_command(*arguments, environ=bare_environ(**environ))


@contextmanager
def running_demo(*options: str) -> Iterator[tuple[Running, int]]:
    """Run the demo on a free port, until it has printed all it has to say."""
    port = free_port()
    command = (PYTHON, "-m", "service", "demo", "--port", str(port), *options)
    # A key of this machine's own must not be used, and is not even looked at.
    environ = bare_environ(OPENAI_API_KEY="sk-canary", JWT_SECRET="short", PORT="not-a-port")
    with running(command, environ=environ, ready=lambda run: "Ctrl-C" in run.output) as demo:
        yield demo, port


def line_of(demo: Running, begins: str, holds: str = "") -> list[str]:
    """Find a printed command; it stands alone on its line."""
    return next(
        shlex.split(line) for line in demo.output.splitlines() if line.startswith(begins) and holds in line
    )


@pytest.mark.parametrize("options", [(), ("--tls",)], ids=["plain", "TLS"])
def test_the_demos_two_printed_commands_work_as_they_stand(options: tuple[str, ...]) -> None:
    with running_demo(*options) as (demo, _):
        curl = line_of(demo, "curl ")
        minted = subprocess.run([*curl, "--silent"], capture_output=True, text=True, timeout=30, check=True)
        assert json.loads(minted.stdout)["value"].startswith("ek_")

        connect = line_of(demo, PYTHON, "-m service connect ")
        talked = subprocess.run(connect, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert talked.returncode == 0, talked.stderr
        assert json.loads(talked.stdout.splitlines()[-1])["type"] == "response.done"
        assert "sk-canary" not in demo.output


def test_the_demo_may_be_reached_from_outside_a_container() -> None:
    with running_demo("--host", "0.0.0.0") as (demo, _):  # noqa: S104 - what a container needs
        curl = line_of(demo, "curl ")
        minted = subprocess.run([*curl, "--silent"], capture_output=True, text=True, timeout=30, check=True)
        assert json.loads(minted.stdout)["value"].startswith("ek_")


def test_the_demo_shows_its_page_and_ends_whole_at_ctrl_c() -> None:
    with running_demo() as (demo, port):
        page = requests.get(f"http://127.0.0.1:{port}/demo", timeout=10)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        minted = requests.post(
            f"http://127.0.0.1:{port}/token",
            headers={"Authorization": f"Bearer {line_of(demo, PYTHON, 'connect')[-1]}"},
            json={},
            timeout=10,
        ).json()
        sandbox_port = int(minted["connection"]["calls_url"].split("/")[2].rpartition(":")[2])
        os.kill(demo.pid, signal.SIGINT)
        assert demo.wait(20) == 0
        assert not accepts_connections(port)
        assert not accepts_connections(sandbox_port)


def test_a_demo_whose_port_is_taken_says_so_and_leaves_nothing_behind() -> None:
    with running_demo() as (_, port):
        second = run("demo", "--port", str(port))
        assert second.returncode != 0
        assert str(port) in second.stderr


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


def test_connect_takes_its_jwt_from_the_environment_and_tells_a_refusal_in_words() -> None:
    with running_demo() as (_, port):
        refused = run("connect", "--token-url", f"http://127.0.0.1:{port}/token", REALTIME_JWT="canary")
        assert refused.returncode == 1
        assert "invalid_token" in refused.stderr
        assert "canary" not in refused.stderr


@pytest.mark.parametrize("command", ["demo", "sandbox", "check", "limits", "policy", "issue-jwt", "connect"])
def test_each_command_explains_itself(command: str) -> None:
    helped = run(command, "--help")

    assert helped.returncode == 0
    assert f"python -m service {command}" in helped.stdout
    assert command in run("--help").stdout


def test_the_sandbox_ends_at_a_signal() -> None:
    port = free_port()
    command = (PYTHON, "-m", "service", "sandbox", "--port", str(port))

    with running(command, environ=bare_environ(), ready=lambda run: "sandbox: " in run.output) as sandbox:
        assert f"sandbox: http://127.0.0.1:{port}/v1" in sandbox.output.splitlines()
        os.kill(sandbox.pid, signal.SIGINT)
        sandbox.wait(10)
        wait_until(lambda: not accepts_connections(port), seconds=5, what="the end of the sandbox")
