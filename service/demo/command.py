"""``python -m service demo``."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import click

from service.auth.development import sign
from service.core.environment_types import authority, is_loopback
from service.demo.environment import demo_environment
from service.demo.processes import StartError, start_sandbox, start_service, stop
from service.sandbox.command import require_packages
from service.sandbox.tls import Certificate

_JWT_SECONDS = 12 * 3600
_LOOPBACK_FOR = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a wildcard is reached from here


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the token service.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65_535))
@click.option("--sandbox-port", default=0, type=click.IntRange(0, 65_535), help="Default: a free one.")
@click.option("--tls", is_flag=True, help="Serve both with a certificate made for this machine.")
def demo(host: str, port: int, sandbox_port: int, *, tls: bool) -> None:
    """Run the sandbox and the token service together: no key, no network, no cost."""
    require_packages()
    signal.signal(signal.SIGTERM, _interrupt)
    started: list[subprocess.Popen[str]] = []
    try:
        options = ["--host", _sandbox_host(host), "--port", str(sandbox_port), *(["--tls"] if tls else [])]
        sandbox, printed = start_sandbox(options)
        started.append(sandbox)
        certificate = Certificate.beside(Path(printed["certificate"])) if tls else None
        environ = demo_environment(printed["sandbox"], host=host, port=port, certificate=certificate)
        url = f"{'https' if tls else 'http'}://{authority(_LOOPBACK_FOR.get(host, host), port)}"
        started.append(start_service(url, environ, certificate))
        click.echo(_instructions(url, environ, certificate))
        _wait_for_either(started)
    except KeyboardInterrupt:
        click.echo("Ending.", err=True)
    except StartError as error:
        raise click.ClickException(str(error)) from None
    finally:
        stop(*started)


def _sandbox_host(host: str) -> str:
    """Keep the sandbox on this machine: its address is told to clients, and plain http goes no further."""
    return host if is_loopback(host) else _LOOPBACK_FOR.get(host, "127.0.0.1")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _instructions(url: str, environ: dict[str, str], certificate: Certificate | None) -> str:
    """Say what to do next; the two commands stand alone on their lines, so that they can be copied whole."""
    jwt = sign(
        environ["JWT_SECRET"],
        issuer=environ["JWT_ISSUER"],
        audience=environ["JWT_AUDIENCE"],
        subject="demo-user",
        now=time.time(),
        lifetime=_JWT_SECONDS,
    )
    trust = ["--cacert", str(certificate.authority)] if certificate else []
    curl = ["curl", *trust, "-X", "POST", f"{url}/token", "-H", f"Authorization: Bearer {jwt}"]
    curl += ["-H", "Content-Type: application/json", "-d", "{}"]
    connect = [
        sys.executable,
        "-m",
        "service",
        "connect",
        *trust,
        "--token-url",
        f"{url}/token",
        "--jwt",
        jwt,
    ]
    lines = [
        f"Demo page: {url}/demo",
        "",
        "Mint a client secret:",
        "",
        shlex.join(curl),
        "",
        "Mint one and talk to the model:",
        "",
        shlex.join(connect),
        "",
        "Ctrl-C ends all of it.",
    ]
    return "\n".join(lines)


def _wait_for_either(processes: list[subprocess.Popen[str]]) -> None:
    """Wait until one of the servers ends, which it should not."""
    while all(process.poll() is None for process in processes):
        time.sleep(0.2)
    raise StartError("A server of the demo has ended; its own words are above.")
