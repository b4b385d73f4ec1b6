"""The demo's two servers, as child processes that end with it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests

from service.demo.environment import DemoServer
from service.sandbox.tls import Certificate

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0  # longer than the service takes to end its calls


class StartError(Exception):
    """A server did not start; its own words are on the terminal above."""


@contextmanager
def running(
    server: DemoServer, environ: Mapping[str, str], *, sandbox: Sequence[str] | None = None
) -> Iterator[list[subprocess.Popen[str]]]:
    """Run the token service, and with ``sandbox``, which are its options, the sandbox; entered once both answer.

    Raises:
        StartError: one of them ended, or did not answer in time.
    """
    started: list[subprocess.Popen[str]] = []
    try:
        # Both at once, which is sooner. At the end the service is first, and has its open calls ended by the sandbox.
        started.append(_start_service(environ, server.certificate))
        if sandbox is not None:
            started.append(_start_sandbox(sandbox))
            _await_sandbox(started[1])
        _await_service(started[0], server)
        yield started
    finally:
        for process in started:
            _stop(process)


def _start_service(environ: Mapping[str, str], certificate: Certificate | None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gunicorn", "--config", "python:service.demo.gunicorn_conf"]
    if certificate:
        command += ["--certfile", str(certificate.chain), "--keyfile", str(certificate.key)]
    return subprocess.Popen(  # noqa: S603 - our own command
        [*command, "service.demo.wsgi:app"],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def _start_sandbox(options: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "service", "sandbox", *options]
    return subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, start_new_session=True
    )


def _await_sandbox(process: subprocess.Popen[str]) -> None:
    """Wait until it says that it accepts connections."""
    for line in process.stdout or ():
        if line.startswith("sandbox: "):
            return
    process.wait(_STOP_SECONDS)
    raise StartError("The sandbox did not start.")


def _await_service(process: subprocess.Popen[str], server: DemoServer) -> None:
    trusted = str(server.certificate.authority) if server.certificate else True
    end = time.monotonic() + _START_SECONDS
    with requests.Session() as session:
        session.trust_env = False  # a proxy that it names does not lead to this machine
        while process.poll() is None and time.monotonic() < end:
            try:
                session.get(f"{server.url}/healthz", timeout=1, verify=trusted).raise_for_status()
            except requests.RequestException:
                time.sleep(0.05)
            else:
                return
    raise StartError(f"The token service did not start on {urlsplit(server.url).netloc}; is the port in use?")


def _stop(process: subprocess.Popen[str]) -> None:
    """Ask a process to end, and kill it where it does not."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
