"""The demo's two servers, as child processes that end with it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import requests

from service.sandbox.tls import Certificate

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class StartError(Exception):
    """A server did not start; its own words are on the terminal above."""


def start_sandbox(options: Sequence[str]) -> tuple[subprocess.Popen[str], str]:
    """Start the sandbox; return it with the base URL of its API, once it accepts connections.

    Raises:
        StartError: where it ended instead.
    """
    command = [sys.executable, "-m", "service", "sandbox", *options]
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        for line in process.stdout or ():
            name, _, value = line.strip().partition(": ")
            if name == "sandbox":
                return process, value
    except BaseException:  # a signal to the demo
        stop(process)
        raise
    process.wait(_STOP_SECONDS)
    raise StartError("The sandbox did not start.")


def start_service(
    url: str, environ: Mapping[str, str], certificate: Certificate | None
) -> subprocess.Popen[str]:
    """Start the token service and wait until it answers at ``url``.

    Raises:
        StartError: where it ended, or did not answer in time.
    """
    command = [sys.executable, "-m", "gunicorn", "--config", "python:service.demo.gunicorn_conf"]
    if certificate:
        command += ["--certfile", str(certificate.chain), "--keyfile", str(certificate.key)]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "service.demo.wsgi:app"],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        _await_health(process, url, trusted=str(certificate.authority) if certificate else None)
    except BaseException:
        stop(process)
        raise
    return process


def _await_health(process: subprocess.Popen[str], url: str, *, trusted: str | None) -> None:
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            requests.get(f"{url}/healthz", timeout=1, verify=trusted or True).raise_for_status()
        except requests.RequestException:
            time.sleep(0.05)
        else:
            return
    raise StartError(f"The token service did not start on {urlsplit(url).netloc}; is the port in use?")


def stop(*processes: subprocess.Popen[str]) -> None:
    """End processes one after the other, the last that was started first; one that does not go is killed.

    The token service ends its calls while it stops, for which the sandbox has to be there still.
    """
    for process in reversed(processes):
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
