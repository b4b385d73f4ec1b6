"""gunicorn is set up so that the traps of its defaults are out of reach."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.processes import (
    PYTHON,
    ROOT,
    accepts_connections,
    free_port,
    run_program,
    running,
    wait_until,
)
from tests.support.redis import running_redis
from tests.support.service import GUNICORN, Sandbox, TokenService, running_service, service_environ


def procfile_environ(upstream: str, port: int, **variables: str) -> dict[str, str]:
    """Make an environment in which ``gunicorn`` is found, as on a host."""
    environ = service_environ(upstream, PORT=str(port), **variables)
    return {**environ, "PATH": f"{Path(PYTHON).parent}:{environ['PATH']}"}


@pytest.mark.parametrize("concurrency", ["", "1"])
def test_the_procfiles_line_serves_with_an_empty_web_concurrency(sandbox: Sandbox, concurrency: str) -> None:
    """The server itself reads that variable before any of our code, and ends where it is no number."""
    port = free_port()
    line = (ROOT / "Procfile").read_text().removeprefix("web: ").strip()
    environ = procfile_environ(sandbox.base_url, port) | {"WEB_CONCURRENCY": concurrency}
    with running(("sh", "-c", line), environ=environ, ready=lambda run: "Listening at" in run.output):
        assert accepts_connections(port)


def test_a_wrong_environment_ends_the_start_before_any_worker() -> None:
    """Once, non-zero, with every problem; a refusal in a worker would have it started again for ever."""
    environ = service_environ(
        "http://api.example/v1", JWT_SECRET="short", TOKEN_TTL="5", PORT=str(free_port())
    )
    began = time.monotonic()
    result = subprocess.run(
        [*GUNICORN, "wsgi:app"],
        check=False,
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode != 0
    assert time.monotonic() - began < 15
    named = re.findall(r"^(\w+): ", result.stderr, re.MULTILINE)
    assert sorted(named) == ["JWT_SECRET", "OPENAI_BASE_URL", "TOKEN_TTL"]
    assert "Booting worker" not in result.stderr
    assert "Traceback" not in result.stderr


def test_the_configuration_is_what_the_platforms_ask_for(sandbox: Sandbox) -> None:
    """As gunicorn itself understood it."""
    command = [*GUNICORN, "--print-config", "wsgi:app"]
    environ = service_environ(sandbox.base_url, WEB_CONNECTIONS="123")
    result = subprocess.run(
        command, check=True, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30
    )
    config = dict(re.findall(r"^(\w+)\s+= (.*)$", result.stdout, re.MULTILINE))
    assert int(config["keepalive"]) > 90
    assert 20 <= int(config["graceful_timeout"]) <= 25
    assert config["accesslog"] == "None"
    assert config["control_socket_disable"] == "True"
    assert config["forwarder_headers"] in {"[]", "['']", ""}
    assert config["forwarded_allow_ips"] in {"[]", "['']", ""}
    assert config["secure_scheme_headers"] == "{}"
    assert config["sendfile"] == "False"
    assert config["preload_app"] == "False"
    assert int(config["worker_connections"]) == 123


def sockets_of(pid: int) -> list[str]:
    """List the sockets a process holds open, as Linux tells."""
    opened = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return [target for target in opened if target.startswith("socket:")]


def test_the_master_holds_no_socket_but_the_one_it_listens_on(sandbox: Sandbox) -> None:
    """So no connection crosses a fork, where two workers would mix up its answers; nor is there a control socket."""
    with (
        running_redis() as redis,
        running_service(sandbox.base_url, REDIS_URL=redis.url, forked=False) as service,
    ):
        assert service.token().ok
        assert len(sockets_of(service.run.pid)) == 1


@pytest.mark.parametrize(
    "name", ["SCRIPT_NAME", "Script-Name", "PATH_INFO", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"]
)
def test_headers_that_a_proxy_might_set_change_nothing(service: TokenService, name: str) -> None:
    """A client can send them, too."""
    answer = service.get("/healthz", headers={name: "/elsewhere"})
    assert answer.status_code in {200, 400}
    assert answer.headers["Content-Type"] == "application/json"


def test_a_home_that_cannot_be_written_to_is_no_problem(sandbox: Sandbox) -> None:
    """The server's control socket would be put there."""
    with running_service(sandbox.base_url, HOME="/proc", forked=False) as service:
        assert service.token().ok
        assert '"level":"error"' not in service.run.output


def test_a_process_may_open_as_many_files_as_the_host_allows(sandbox: Sandbox) -> None:
    """Many hosts start processes with 1,024, and a request in flight holds two."""
    port = free_port()
    environ = service_environ(sandbox.base_url, PORT=str(port))
    command = ("sh", "-c", f"ulimit -S -n 256; exec {' '.join(GUNICORN)} wsgi:app")
    with running(command, environ=environ, ready=lambda _: accepts_connections(port)) as run:
        limits = Path(f"/proc/{run.pid}/limits").read_text()
        soft, hard = re.findall(r"Max open files\s+(\d+)\s+(\d+)", limits)[0]
        assert int(soft) == int(hard) > 256


def test_what_the_admin_should_look_at_is_said_once_at_start(sandbox: Sandbox) -> None:
    """Processes that memory holds back, and a tier that users may be able to choose."""
    with running_service(
        sandbox.base_url,
        forked=False,
        WEB_CONCURRENCY="4",
        RATE_LIMIT_TIERS='{"pro": "60/minute"}',
        RATE_LIMIT_TIER_CLAIM="user_metadata.plan",
    ) as service:
        assert service.token().ok
        warnings = [line for line in service.run.output.splitlines() if '"level":"warning"' in line]
    assert len([line for line in warnings if "WEB_CONCURRENCY" in line]) == 1
    assert len([line for line in warnings if "RATE_LIMIT_TIER_CLAIM" in line]) == 1


def test_memory_holds_processes_at_one_whoever_asks_for_more(sandbox: Sandbox) -> None:
    """By gunicorn's own option, and by its signal: each process would have limits of its own."""
    environ = service_environ(sandbox.base_url, PORT=str(free_port()))
    command = (*GUNICORN, "--workers", "3", "wsgi:app")
    with running(command, environ=environ, ready=lambda run: "Booting worker" in run.output) as run:
        assert run.output.count("instead of 3") == 1
        os.kill(run.pid, signal.SIGTTIN)
        wait_until(lambda: "instead of 2" in run.output, seconds=20, what="the refusal of a second process")
        os.kill(run.pid, signal.SIGHUP)
        wait_until(
            lambda: run.output.count("Booting worker") > 1,
            seconds=20,
            what="another worker in the first one's place",
        )
        wait_until(lambda: "Worker exiting" in run.output, seconds=20, what="the end of the first one")
        assert run.output.count("Booting worker") == 2


@pytest.mark.parametrize(
    ("variables", "needed"),
    [
        ({}, False),
        ({"JWT_JWKS_URL": "https://id.example/keys", "JWT_SECRET": ""}, True),
        ({"OPENAI_BASE_URL": "https://api.example/v1", "HTTPS_PROXY": "http://proxy.example:3128"}, True),
    ],
)
def test_workers_import_nothing_of_their_own(variables: dict[str, str], *, needed: bool) -> None:
    """What a worker runs is imported before it is forked, and shared; ``requests`` only where something needs it."""
    program = """
        import sys
        import flask.testing
        from service.serving import gunicorn_conf, gunicorn_worker
        gunicorn_conf.on_starting(type("Arbiter", (), {"log": gunicorn_conf.structlog.get_logger()}))
        before = set(sys.modules)
        from wsgi import app
        app.test_client().post("/token", headers={"Authorization": "Bearer a.b.c"})
        print(sorted(set(sys.modules) - before), "requests" in before)
    """
    environ = service_environ("http://127.0.0.1:9/v1") | variables
    assert run_program(program, environ).splitlines()[-1] == f"['wsgi'] {needed}"


def test_garbage_is_seldom_collected_before_the_start_is_over() -> None:
    """There is little to find; and what the start has made is never looked through again."""
    program = """
        import gc
        from service.serving import gunicorn_conf
        before = gc.get_threshold()[0]
        gunicorn_conf.on_starting(type("Arbiter", (), {"log": gunicorn_conf.structlog.get_logger()}))
        print(before > gc.get_threshold()[0], gc.get_freeze_count() > len(gc.get_objects()))
    """
    printed = run_program(program, service_environ("http://127.0.0.1:9/v1"))
    assert printed.splitlines()[-1] == "True True"
