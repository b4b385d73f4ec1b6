"""gunicorn, in the foreground: one worker with threads, since the memory of a sandbox is in its process.

Threads, and not gevent as in production: WebRTC runs on asyncio, which gevent's patches break.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import ssl
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from service.sandbox.tls import Certificate, write_certificate
from service.vendors import wire

if TYPE_CHECKING:
    from service.sandbox.azure import Azure

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9000

_THREADS = 1000
"""Each open WebSocket has one; they start as they are needed."""

_SWITCH_SECONDS = 0.001
"""How long a busy thread may keep the others waiting: packets of sound leave on time then (Python's default: 5 ms)."""


def serve(  # noqa: PLR0913 - an argument for each option
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    tls: bool = False,
    beta: bool = False,
    azure: bool = False,
    deployments: Iterable[str] = (),
    connection_lost_seconds: float = 30.0,
    certificate: str | None = None,
    peer_host: str | None = None,
) -> NoReturn:
    """Become the sandbox: this process is replaced, and ends with SIGINT or SIGTERM.

    A fresh interpreter starts sooner than one that has loaded all commands, and keeps nothing of them in memory.

    Port 0 takes a free one, which the line printed at the start names. With ``tls`` it serves https and wss, with a
    certificate made for this run, or with the one whose authority is ``certificate``; with ``beta`` it speaks the
    retired beta too; with ``azure`` it is a resource there, with these ``deployments`` (``name=model``).
    ``peer_host`` is where WebRTC peers are reached, by default ``host``.
    """
    options = ["--host", host, "--port", str(port), "--connection-lost-seconds", str(connection_lost_seconds)]
    options += ["--certificate", certificate] if certificate else []
    options += ["--peer-host", peer_host] if peer_host else []
    flags = [name for name, given in {"--tls": tls, "--beta": beta, "--azure": azure}.items() if given]
    flags += [f"--deployment={deployment}" for deployment in deployments]
    command = [sys.executable, "-m", "service.sandbox", *options, *flags]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter, without a shell


def main() -> None:
    """Read the command line and serve until a signal ends it."""
    os.environ.pop("WEB_CONCURRENCY", None)  # the service's; gunicorn's import fails where it is no number
    from gunicorn.app.base import BaseApplication  # noqa: PLC0415 - only here, behind gevent's patch

    from service.sandbox.app import create_sandbox  # noqa: PLC0415
    from service.sandbox.webrtc.network import use_addresses_for  # noqa: PLC0415

    options = _arguments()
    use_addresses_for(options.peer_host or options.host)
    sys.setswitchinterval(_SWITCH_SECONDS)
    certificate = _certificate(options)

    class Sandbox(BaseApplication):  # type: ignore[misc] # gunicorn is untyped
        """gunicorn without its command line and environment."""

        def load_config(self) -> None:
            for name, value in _settings(options, certificate).items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            lost = options.connection_lost_seconds
            return create_sandbox(beta=options.beta, azure=_resource(options), connection_lost_seconds=lost)

    Sandbox().run()


def _resource(options: argparse.Namespace) -> Azure | None:
    from service.sandbox.azure import Azure  # noqa: PLC0415 - as little as possible where all commands are loaded

    return Azure(dict(options.deployment)) if options.azure else None


def _certificate(options: argparse.Namespace) -> Certificate | None:
    """Return the certificate to serve with: one made before, or one made now, which ``clean_up`` removes."""
    if options.certificate:
        return Certificate.beside(Path(options.certificate))
    return write_certificate() if options.tls else None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.sandbox", description=__doc__)
    parser.add_argument("--host", default=DEFAULT_HOST)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--beta", action="store_true")
    parser.add_argument("--azure", action="store_true")
    parser.add_argument("--deployment", action="append", default=[], type=lambda text: text.split("=", 1))
    parser.add_argument("--certificate")
    parser.add_argument("--peer-host")
    parser.add_argument("--connection-lost-seconds", type=float, default=30.0)
    return parser.parse_args()


def _without_tickets(_config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Send nothing unasked after a handshake (RFC 8446 §4.6.1).

    The websockets library, and with it the vendor's Python SDK, reads in one thread while it sends its first
    request in another. Where there is a ticket to read in that moment, some requests never left the client.
    """
    context = default()
    context.num_tickets = 0
    return context


def _settings(options: argparse.Namespace, certificate: Certificate | None) -> dict[str, Any]:
    host = f"[{options.host}]" if ":" in options.host else options.host

    def announce(worker: Any) -> None:
        """Tell the address, once: a worker that replaces a lost one stays quiet."""
        gc.freeze()  # what was loaded stays: collections of garbage, which pause all sound, need not look at it
        if worker.age > 1:
            return
        port = worker.sockets[0].getsockname()[1]
        if certificate:
            print(f"certificate: {certificate.authority}")  # noqa: T201 - a command prints
        base_path = wire.AZURE_BASE_PATH if options.azure else "/v1"
        print(f"sandbox: {'https' if certificate else 'http'}://{host}:{port}{base_path}", flush=True)  # noqa: T201

    def clean_up(_arbiter: Any) -> None:
        if certificate and not options.certificate:
            shutil.rmtree(certificate.key.parent, ignore_errors=True)

    settings: dict[str, Any] = {
        "bind": f"{host}:{options.port}",
        "workers": 1,
        "worker_class": "service.sandbox.worker.SandboxWorker",
        "threads": _THREADS,
        "worker_connections": 2 * _THREADS,
        "keepalive": 75,
        "graceful_timeout": 1,
        "control_socket_disable": True,
        "loglevel": "warning",
        "limit_request_field_size": 16_384,
        "forwarder_headers": "",
        "post_worker_init": announce,
        "on_exit": clean_up,
    }
    if certificate:
        settings |= {
            "certfile": str(certificate.chain),
            "keyfile": str(certificate.key),
            "ssl_context": _without_tickets,
        }
    return settings
