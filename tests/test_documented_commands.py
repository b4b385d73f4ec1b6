"""Every command that the documentation shows is run from another folder than the repository, or said why not."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from service.cli import main
from service.settings import Settings
from tests.support.demo import PrintedDemo, kept_ports
from tests.support.documentation import TEXT, blocks
from tests.support.processes import (
    PYTHON,
    ROOT,
    Running,
    accepts_connections,
    bare_environ,
    free_port,
    running,
    shell,
)
from tests.support.redis import RedisServer
from tests.support.service import Sandbox, TokenService, service_environ
from tests.support.tokens import sign

COMMANDS = "|".join(main.list_commands(click.Context(main)))
INLINE = re.compile(
    rf"`((?:\S*python -m|\S*pip install|npm install|az|fly|heroku|git) [^`]+|(?:{COMMANDS}) (?:… )?--[^`]+)`"
    r"|<code>(.*?)</code>"
)

RUN_HERE = {
    "python -m service check": "Fit to serve",
    "python -m service check --token user.jwt": "✓",
    "python -m service issue-jwt --sub ada": "eyJ",
    "python -m service limits": "each user",
    "python -m service limits --user ada": "in the log",
    "python -m service policy": "gpt-realtime-2.1",
    "python -m service policy --try request.json --claims claims.json": "gpt-realtime-2.1",
    "python -m service policy --try request.json --call": "gpt-realtime-2.1",
    "python -m service policy --schema > policy.schema.json": "",
    "python -m service calls": "0",
    "python -m service calls --sub ada": "0",
    "python -m service revoke ada": "calls being ended: 0",
    "python -m service sandbox --events": "session.update",
    "printf %s ek_… | sha256sum": "  -",
}
"""Commands that end by themselves, and a part of what they print."""

FIRST = blocks()[0][3].strip()
"""The README's first command, which installs the demo and runs it."""

CONNECT = ["python -m service connect", 'connect … --text "…"']

RUN_ELSEWHERE = {
    "python -m service demo": "operations/test_demo.py::test_what_it_prints_works_from_any_folder",
    "demo --tls": "operations/test_demo.py::test_what_it_prints_works_from_any_folder",
    "demo --lan": "operations/test_demo_lan.py::test_a_phone_opens_the_page_by_the_printed_address",
    "demo --host 0.0.0.0": "operations/test_demo.py::test_one_published_port_of_a_container_is_enough",
    "demo --live": "operations/test_demo.py::test_live_is_the_vendor_",
    "python -m service serve --no-env-file": "operations/test_serve.py::test_serve_becomes_gunicorn_",
    "python -m service sandbox": "test_commands.py::test_the_sandbox_runs_in_any_folder_",
    "export TOKEN_SERVICE=https://tokens.example.com": "examples/test_readme_examples.py::test_curl",
    "export JWT=eyJhbGciOi…": "examples/test_readme_examples.py::test_curl",
}
"""Commands that serve until they are ended, and lines to paste: how the names of the tests begin that run them."""

NOT_HERE = {
    "python3 -m venv .venv && .venv/bin/pip install --quiet -r tests/requirements.txt"
    " && .venv/bin/python -m pytest": "is what runs this test, in .ci/run",
    "pip install -r requirements.txt": "installs packages",
    "pip install -r service/vendors/requirements-azure.txt": "installs packages",
    "pip install 'openai[realtime]'": "installs packages",
    "npm install openai ws": "installs packages",
    "npm install && npm run dev": "installs packages; examples/test_apps.py builds and opens this app",
    "npm install && npm start": "installs packages, and needs a phone",
    "npm install @openai/agents zod": "installs packages",
    "python -m tests.benchmark": "measures for minutes; tests/benchmark/test_benchmark.py tests its parts",
    "az login": "needs an account at Azure",
    "fly redis create": "needs an account at Fly",
    "heroku create my-tokens": "needs an account at Heroku",
    "heroku config:set OPENAI_API_KEY=sk-… AUTH_PROVIDER=firebase:my-project TRUSTED_PROXY_HOPS=1"
    " ALLOWED_ORIGINS=https://app.example.com": "needs an account at Heroku",
    "heroku addons:create heroku-redis:mini": "needs an account at Heroku",
    "git push heroku main": "needs an account at Heroku",
    "heroku run python -m service check": "needs an account at Heroku",
    "curl https://my-tokens-….herokuapp.com/readyz": "needs an account at Heroku",
}
"""Commands that no test runs, and why."""

SERVE = "python -m service serve"
AZURE_SANDBOX = "python -m service sandbox --azure --deployment my-deployment=gpt-realtime-2.1"


def commands() -> Iterator[str]:
    """Give each command of the documentation, without its comment, on one line."""
    for mark, _, language, text in blocks():
        if language in {"sh", "console"} and not mark and not is_environment(text):
            for line in re.sub(r"\\\n\s*", "", text).splitlines():
                yield re.sub(r"\s+# .*", "", line)
    for span, html in INLINE.findall(TEXT):
        yield re.sub(r"\bFILE\b", "user.jwt", re.sub(r"\bSUB\b", "ada", span or html))


def is_environment(text: str) -> bool:
    """Tell a block that only gives variables their values."""
    return all(re.match(r"[A-Z_]+=", line) for line in text.splitlines())


def test_every_command_is_run_or_has_a_reason() -> None:
    known = {*RUN_HERE, *RUN_ELSEWHERE, *NOT_HERE, *CONNECT, FIRST, SERVE, AZURE_SANDBOX}

    assert set(commands()) == known


@pytest.mark.parametrize(("command", "test"), RUN_ELSEWHERE.items(), ids=RUN_ELSEWHERE)
def test_the_test_that_runs_a_command_exists_and_names_its_options(command: str, test: str) -> None:
    path, _, name = test.partition("::")
    text = (ROOT / "tests" / path).read_text()

    assert f"def {name}" in text
    assert [word for word in command.split() if word.startswith("--") and f'"{word}"' not in text] == []


@pytest.mark.parametrize("text", re.findall(rf"`((?:python -m service )?(?:{COMMANDS}) [^`]*--[^`]*)`", TEXT))
def test_every_option_is_known(text: str) -> None:
    """Also of commands that are shown in part."""
    name = text.removeprefix("python -m service ").partition(" ")[0]
    command = main.get_command(click.Context(main), name)
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}

    assert set(re.findall(r"--[a-z-]+", text)) <= known


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the commands name."""
    (tmp_path / "request.json").write_text("{}")
    (tmp_path / "claims.json").write_text(json.dumps({"sub": "ada"}))
    (tmp_path / "user.jwt").write_text(sign())
    return tmp_path


def shell_environ(upstream: str, **variables: str) -> dict[str, str]:
    """Make an environment in which ``python`` is this one, and finds this repository from any folder."""
    path = f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}"
    return service_environ(upstream, PYTHONPATH=str(ROOT), PATH=path, **variables)


@pytest.mark.parametrize(("command", "printed"), RUN_HERE.items(), ids=RUN_HERE)
def test_the_command_works(
    command: str, printed: str, folder: Path, sandbox: Sandbox, redis: RedisServer
) -> None:
    done = subprocess.run(
        ("sh", "-c", command),
        cwd=folder,
        env=shell_environ(sandbox.base_url, REDIS_URL=redis.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert printed in done.stdout
    if ">" in command:
        assert json.loads((folder / command.rpartition(" ")[2]).read_text())["title"]


STAND_IN = """#!{python}
import sys
from pathlib import Path

assert sys.argv[1:] == ["-m", "venv", ".venv"], sys.argv
folder = Path(".venv/bin")
folder.mkdir(parents=True)
for name, module in (("python", ""), ("pip", "-m pip")):
    program = folder / name
    program.write_text(f'#!/bin/sh\\nexec {python} {{module}} "$@"\\n')
    program.chmod(0o755)
"""
"""Makes an environment of this interpreter, which has all packages: tests install nothing from the network."""


def test_the_first_command_runs_the_demo_in_a_clone(tmp_path: Path) -> None:
    """Word for word, but that ``python3`` is a stand-in; pip is real, and finds everything installed.

    The shell gives way to the last command, so that it is what is ended.
    What the demo then prints works from another folder.
    """
    clone, elsewhere = tmp_path / "clone", tmp_path / "elsewhere"
    clone.mkdir()
    elsewhere.mkdir()
    (clone / "service").symlink_to(ROOT / "service")
    (clone / "requirements.txt").symlink_to(ROOT / "requirements.txt")
    python3 = elsewhere / "python3"
    python3.write_text(STAND_IN.format(python=PYTHON))
    python3.chmod(0o755)
    kept_ports(tmp_path / "cache")
    path = f"{elsewhere}{os.pathsep}{os.environ['PATH']}"
    environ = bare_environ(PATH=path, XDG_CACHE_HOME=str(tmp_path / "cache"))

    before, _, last = FIRST.rpartition("&& ")
    ready = lambda run: "Ctrl-C" in run.output  # noqa: E731 - one look
    with running(("sh", "-c", f"{before}&& exec {last}"), environ=environ, ready=ready, cwd=clone) as run:
        assert Path(f"/proc/{run.pid}/cmdline").read_bytes().split(b"\0")[1:4] == [b"-m", b"service", b"demo"]
        said = shell(PrintedDemo(run).connect, elsewhere)
    assert '"response.done"' in said.splitlines()[-1]


@pytest.fixture(scope="module")
def served(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenService]:
    """What ``serve`` serves in a folder whose ``.env`` has every variable; none is set."""
    folder = tmp_path_factory.mktemp("serve")
    port = free_port()
    environ = shell_environ(sandbox.base_url, PORT=str(port))
    variables = {name: environ.pop(name) for name in Settings.names() & environ.keys()}
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))

    def is_ready(_: Running) -> bool:
        return accepts_connections(port)

    with running(("sh", "-c", f"exec {SERVE}"), environ=environ, ready=is_ready, cwd=folder) as run:
        yield TokenService(f"http://127.0.0.1:{port}", run)


def test_serve_mints_by_an_env_file_alone(served: TokenService) -> None:
    """With the key, the limits and the port of the file."""
    assert served.get("/readyz").json()["status"] == "ok"
    assert served.token(jwt=sign(sub="of-the-file")).json()["value"].startswith("ek_")


@pytest.mark.parametrize("command", CONNECT)
def test_connect_talks_by_what_is_exported(command: str, served: TokenService, tmp_path: Path) -> None:
    """As the README has it: two ``export`` lines, then the command."""
    words = command.replace(" …", "", 1)
    lines = [f"export TOKEN_SERVICE={served.url}", f"export JWT={sign()}"]
    lines.append(words if words.startswith("python") else f"python -m service {words}")
    done = subprocess.run(
        ("sh", "-c", "\n".join(lines)),
        cwd=tmp_path,
        env={name: value for name, value in shell_environ("").items() if name not in Settings.names()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "response.done"


def test_the_sandbox_of_azure_serves(folder: Path) -> None:
    command = shlex.split(f"{AZURE_SANDBOX} --port {free_port()}")
    environ = shell_environ("http://127.0.0.1:1/v1")

    with running(command, environ=environ, ready=lambda run: "sandbox: " in run.output, cwd=folder) as run:
        assert "/openai/v1" in run.output


def environments() -> list[Mapping[str, str]]:
    """Read the blocks that give variables their values, and what Heroku is told to set."""
    lines = [text for _, _, language, text in blocks() if language == "sh" and is_environment(text)]
    lines += [command.partition("config:set ")[2] for command in NOT_HERE if "config:set" in command]
    return [dict(word.split("=", 1) for word in shlex.split(text, comments=True)) for text in lines]


@pytest.mark.parametrize("variables", environments(), ids=lambda variables: next(iter(variables)))
def test_each_environment_is_accepted(variables: Mapping[str, str]) -> None:
    """With values where the documentation leaves them out."""
    written = {name: value.replace("…", 2 * "0123456789abcdef") for name, value in variables.items()}
    required = {"OPENAI_API_KEY": "sk-of-the-test"}
    if not {"AUTH_PROVIDER", "JWT_ISSUER"} & set(written):
        required["AUTH_PROVIDER"] = "firebase:my-project"

    assert Settings.from_environ(required | written)
