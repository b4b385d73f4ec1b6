"""The Dockerfile, the compose file and nginx's configuration of the documentation, as far as it goes without Docker.

The Dockerfile's steps are taken in a folder of their own: what it copies, as which user's command it serves, and its
health check.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.core.environment import ConfigurationError
from service.serving.refusal import MAX_FIELD_BYTES
from service.settings import Settings
from tests.support.documentation import marked
from tests.support.processes import PYTHON, ROOT, accepts_connections, free_port, running
from tests.support.service import TokenService, running_service, service_environ
from tests.support.tools import require

FILES = marked("file")
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in FILES["Dockerfile"].splitlines()]


def instruction(name: str) -> str:
    """Return what follows the one instruction of this name."""
    [found] = [rest for first, rest in INSTRUCTIONS if first == name]
    return found


def command(text: str) -> list[str]:
    """Read an instruction's command, with this interpreter in the image's place."""
    first, *rest = json.loads(text[text.index("[") :])
    assert first == "python"
    return [PYTHON, *rest]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the Dockerfile copies, and nothing else."""
    folder = tmp_path_factory.mktemp("app")
    for first, rest in INSTRUCTIONS:
        if first == "COPY":
            source, target = rest.split()
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, (folder / target / source) if target == "./" else folder / target)
    return folder


def test_the_image_serves_is_healthy_and_ends_at_a_signal(image: Path) -> None:
    """With the command of the Procfile, and nothing of this folder but what was copied."""
    procfile = (ROOT / "Procfile").read_text().partition("exec ")[2].split()
    assert json.loads(instruction("CMD")) == procfile
    port = free_port()
    environ = service_environ("http://127.0.0.1:1/v1", PORT=str(port))
    check = command(instruction("HEALTHCHECK"))
    assert subprocess.run(check, env=environ, capture_output=True, timeout=30, check=False).returncode != 0

    with running(
        command(instruction("CMD")), environ=environ, ready=lambda _: accepts_connections(port), cwd=image
    ) as run:
        end = time.monotonic() + 20
        while subprocess.run(check, env=environ, capture_output=True, timeout=30, check=False).returncode:
            assert time.monotonic() < end
        run.process.terminate()
        assert run.wait() == 0


def test_the_image_holds_no_secret_and_no_privileges() -> None:
    """Whatever lies beside: only what is named is copied."""
    copied = [rest.split()[0] for first, rest in INSTRUCTIONS if first == "COPY"]
    assert copied == ["requirements.txt", "wsgi.py", "service"]
    assert instruction("USER") == "nobody"
    assert instruction("FROM") == f"python:{(ROOT / '.python-version').read_text().strip()}-slim"
    assert f"EXPOSE {Settings.variables()['PORT']}" in FILES["Dockerfile"]


def compose() -> dict[str, Any]:
    """Read the compose file."""
    document: dict[str, Any] = yaml.safe_load(FILES["compose.yaml"])
    return document


def test_the_compose_file_makes_an_environment_that_is_accepted(tmp_path: Path) -> None:
    """With the key in the file that is mounted."""
    tokens = compose()["services"]["tokens"]
    assert set(tokens["environment"]) <= Settings.names()
    [secret] = tokens["secrets"]
    assert compose()["secrets"][secret]["file"].startswith("./")
    assert tokens["environment"]["OPENAI_API_KEY_FILE"] == f"/run/secrets/{secret}"
    mounted = tmp_path / secret
    environ = {**tokens["environment"], "OPENAI_API_KEY_FILE": str(mounted)}
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY_FILE: names no file"):
        Settings.from_environ(environ)
    mounted.write_text("sk-proj-0123456789abcdef\n")
    settings = Settings.from_environ(environ)
    assert settings.processes == 2
    assert settings.warnings() == ()
    assert settings.store.storage_url.get_secret_value().startswith("redis://redis:")
    assert "redis" in compose()["services"]


def test_the_compose_file_gives_a_stop_more_time_than_it_takes() -> None:
    text = (ROOT / "service/serving/gunicorn_conf.py").read_text()  # to import it would patch this process
    [seconds] = re.findall(r"^graceful_timeout = (\d+)$", text, re.MULTILINE)
    assert int(compose()["services"]["tokens"]["stop_grace_period"].removesuffix("s")) > int(seconds)


def test_behind_nginx_clients_are_known_and_the_longest_token_arrives(tmp_path: Path) -> None:
    """With the documented configuration, but for its certificate and the ports."""
    require("nginx")
    port = free_port()
    environ = {"TRUSTED_PROXY_HOPS": "1", "RATE_LIMIT_FAILED_AUTH": "2/hour"}
    with running_service("http://127.0.0.1:1/v1", **environ) as service:
        site = re.sub(r" +ssl_certificate.*\n", "", FILES["nginx.conf"])
        site = site.replace("443 ssl", f"127.0.0.1:{port}").replace("http://127.0.0.1:8000", service.url)
        folders = "".join(
            f"{kind}_temp_path {tmp_path}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = tmp_path / "nginx.conf"
        configuration.write_text(
            f"pid {tmp_path}/pid;\ndaemon off;\nevents {{}}\nhttp {{\naccess_log off;\n{folders}{site}\n}}\n"
        )
        nginx = [str(shutil.which("nginx")), "-e", "stderr", "-c", str(configuration)]
        with running(nginx, environ=environ, ready=lambda _: accepts_connections(port)):
            proxied = TokenService(f"http://127.0.0.1:{port}", service.run)
            assert proxied.get("/healthz").ok
            assert proxied.token(jwt="x" * 16_384).status_code == 401
            spoofed = [
                proxied.token(jwt="x", headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code
                for n in range(2)
            ]
    assert spoofed == [401, 429]


def test_nginx_lets_the_longest_token_pass() -> None:
    [(_, kilobytes)] = re.findall(r"large_client_header_buffers (\d+) (\d+)k;", FILES["nginx.conf"])
    assert int(kilobytes) * 1024 > MAX_FIELD_BYTES
