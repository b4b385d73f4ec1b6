"""``serve`` checks the environment, logs once what is in force, and becomes gunicorn."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from service.core.env_file import with_env_file
from service.serving.command import for_gunicorn
from service.settings import ServerSettings
from tests.support.processes import PYTHON, ROOT, Running, accepts_connections, free_port, running
from tests.support.service import service_environ

SERVE = (PYTHON, "-m", "service", "serve")
UPSTREAM = "http://127.0.0.1:1/v1"


def serve_in(folder: Path, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end in another working directory."""
    return subprocess.run(
        [*SERVE, *options],
        cwd=folder,
        env=environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_serve_becomes_gunicorn_and_logs_the_settings_in_force_once() -> None:
    """In the log's own format; and the signal that ends it is sent to the process that was started."""
    port = free_port()
    environ = service_environ(UPSTREAM, PORT=str(port), REDIS_URL="redis://:passphrase@127.0.0.1:1/0")

    def is_ready(_: Running) -> bool:
        return accepts_connections(port)

    with running((*SERVE, "--no-env-file"), environ=environ, ready=is_ready) as run:
        assert b"gunicorn" in Path(f"/proc/{run.pid}/cmdline").read_bytes()
        run.process.terminate()
        assert run.wait() == 0
        log = run.output
    lines = [json.loads(line) for line in log.splitlines()]
    [summary] = [line for line in lines if line["event"] == "settings in force"]
    assert (summary["listens"], summary["limit_storage"]) == (f"127.0.0.1:{port}", "redis")
    assert environ["OPENAI_API_KEY"] not in log
    assert "passphrase" not in log


@pytest.mark.parametrize("processes", ["two", "0", "1.5"])
def test_a_wrong_number_of_processes_is_reported_like_every_other_variable(
    processes: str, tmp_path: Path
) -> None:
    """The server itself would end with a traceback, before any code of ours."""
    environ = service_environ(UPSTREAM, WEB_CONCURRENCY=processes, TOKEN_TTL="5")

    done = serve_in(tmp_path, "--no-env-file", **environ)

    assert done.returncode == 1
    assert {line.split(":")[0].strip() for line in done.stderr.splitlines()[:-1]} == {
        "WEB_CONCURRENCY",
        "TOKEN_TTL",
    }
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["check", "policy", "limits", "issue-jwt", "sandbox", "demo", "connect"])
@pytest.mark.parametrize("processes", ["two", ""])
def test_no_command_ends_in_a_traceback_over_the_number_of_processes(command: str, processes: str) -> None:
    """A command that imports the server would."""
    environ = service_environ(UPSTREAM, WEB_CONCURRENCY=processes)
    done = subprocess.run(
        [PYTHON, "-m", "service", command, "--help"], cwd=ROOT, env=environ, capture_output=True, check=True
    )

    assert b"Usage" in done.stdout


def test_an_env_file_is_read_unless_it_is_declined(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\ufeffTOKEN_TTL=5\nexport JWT_LEEWAY='x'\n", encoding="utf-8")
    environ = service_environ(UPSTREAM)

    with_file = serve_in(tmp_path, **environ)
    without = serve_in(tmp_path, "--no-env-file", **environ | {"TOKEN_MAX_TTL": "5"})

    assert "TOKEN_TTL: " in with_file.stderr
    assert "JWT_LEEWAY: " in with_file.stderr
    assert "JWT_LEEWAY: " not in without.stderr


def test_the_environment_has_precedence_where_it_says_something(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\nC=pa$$word${A}\nD\n")

    merged = with_env_file({"A": "environment", "B": " "}, tmp_path / ".env")

    assert merged == {"A": "environment", "B": "file", "C": "pa$$word${A}"}


def test_an_env_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff")

    done = serve_in(tmp_path, **service_environ(UPSTREAM))

    assert done.returncode == 1
    assert ".env is not text in UTF-8" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("given", "left"), [("", "1"), (" ", "1"), ("2", "2"), ("2.0", "2")])
def test_gunicorn_sees_the_number_of_processes_as_it_was_checked(given: str, left: str) -> None:
    """Its own reading would end in a traceback where the text is no ``int``."""
    environ = {"WEB_CONCURRENCY": given}
    assert for_gunicorn(environ, ServerSettings.from_environ(environ)) == {"WEB_CONCURRENCY": left}
