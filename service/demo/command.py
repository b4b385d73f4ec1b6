"""``python -m service demo``."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import click

from service.auth.development import sign
from service.core.environment import ConfigurationError
from service.core.environment_types import is_loopback
from service.core.origins import parse_origin
from service.demo import kept, network, terminal
from service.demo.environment import DemoServer, live_environment, sandbox_environment
from service.demo.front import SANDBOX_PATH
from service.demo.processes import StartError, running
from service.sandbox.command import require_packages
from service.settings import Settings

_JWT_SECONDS = 12 * 3600
_ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - with --lan, which says so
_PORT, _SANDBOX_PORT = 8000, 9000


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    host: str
    port: int | None
    sandbox_port: int | None
    tls: bool
    lan: bool
    origins: tuple[str, ...]


def _origins(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(parse_origin(one) for one in given)
    except ValueError as error:
        raise click.BadParameter(f"it {error}") from None


@click.command()
@click.option("--host", help="Address of the token service. Default: 127.0.0.1, with --lan 0.0.0.0.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Default: 8000, or the next that is free.")
@click.option("--sandbox-port", type=click.IntRange(0, 65_535), help="Default: 9000, or the next; 0: any.")
@click.option("--tls", is_flag=True, help="Serve both with a certificate made for this machine.")
@click.option(
    "--lan", is_flag=True, help="Listen on the network, with TLS: phones can open the page and talk."
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    callback=_origins,
    help="Let pages of this origin call, too; those on loopback always may. Can be given several times.",
)
@click.option(
    "--live", is_flag=True, help="Use the vendor instead of the sandbox, which is billed; also reads .env."
)
def demo(  # noqa: PLR0913 - an argument for each option
    host: str | None,
    port: int | None,
    sandbox_port: int | None,
    *,
    tls: bool,
    lan: bool,
    origins: tuple[str, ...],
    live: bool,
) -> None:
    """Run the sandbox and the token service together: without --live no key, no network, no cost.

    Keys and ports stay the same over restarts; they are kept in the user's cache folder.
    """
    host = host or (_ANY_ADDRESS if lan else "127.0.0.1")
    if live and (lan or not is_loopback(host)):
        raise click.UsageError(
            "--live gives everybody who opens its page a JWT that costs money: loopback only."
        )
    if lan and is_loopback(host):
        raise click.UsageError(f"--lan listens on the network, which {host} is not on; leave --host out.")
    options = Options(host, port, sandbox_port, tls or lan, lan, origins)
    if tls or not live:
        require_packages()
    try:
        with _ending_by_signals():
            _run_live(options) if live else _run_with_sandbox(options)
    except KeyboardInterrupt:
        click.echo("Stopping.", err=True)
    except (StartError, network.PortTakenError, ConfigurationError, OSError, UnicodeError) as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def _ending_by_signals() -> Iterator[None]:
    """End by SIGINT, SIGTERM and SIGHUP alike.

    A shell has background jobs of a script ignore SIGINT, which then nobody could end by Ctrl-C; ``nohup`` has its
    command ignore SIGHUP, which is what one wants from it.
    """

    def interrupt(*_: object) -> NoReturn:
        for number in ends:
            signal.signal(number, signal.SIG_IGN)  # once is enough: a second would cut the ending short
        raise KeyboardInterrupt

    ends = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ends.append(signal.SIGHUP)
    for number in ends:
        signal.signal(number, interrupt)
    yield


def _run_with_sandbox(options: Options) -> None:
    """Run both servers.

    Beyond loopback the sandbox is reached through the token service, at its origin: so one certificate that a phone
    accepts is enough, and one port of a container, and the sandbox itself stays on loopback.
    """
    found = kept.load(os.environ)
    server = _choose_server(options, found, sandbox=True)
    one_origin = bool(server.own_hosts) and (options.tls or options.host in network.WILDCARDS)
    own_certificate = None if one_origin else server.certificate
    url = _public_url(options, server)
    port = _take_sandbox_port(options, found, server.port)
    base_url = f"{network.url_of('https' if own_certificate else 'http', '127.0.0.1', port)}/v1"
    public_url = f"{url}{SANDBOX_PATH}/v1" if one_origin else None
    flags = ["--port", str(port)]
    flags += ["--peer-host", _ANY_ADDRESS] if options.lan else []
    flags += ["--tls", "--certificate", str(own_certificate.authority)] if own_certificate else []
    environ = sandbox_environment(server, base_url, public_url=public_url)
    with running(server, environ, sandbox=flags) as processes:
        _print_instructions(url, environ, server, api_url=public_url or base_url)
        if options.lan:
            click.echo(terminal.qr_code(f"{url}/demo"))
            click.echo(
                "A phone on this network opens the page by this code, and accepts its certificate once."
            )
        click.echo("Press Ctrl-C to stop.")
        _wait_for_any(processes)


def _run_live(options: Options) -> None:
    """Run the token service with the vendor behind it."""
    server = _choose_server(options, kept.load(os.environ), sandbox=False)
    environ = live_environment(server)
    click.echo("\n".join(terminal.costs(Settings.from_environ(environ))))
    with running(server, environ) as processes:
        _print_instructions(server.url, environ, server, api_url=None)
        click.echo("Press Ctrl-C to stop.")
        _wait_for_any(processes)


def _choose_server(options: Options, found: kept.Kept, *, sandbox: bool) -> DemoServer:
    """Choose the token service's port, and make or find its certificate. Only with the sandbox a port is kept."""
    usual = found.ports.get("service", _PORT)
    port = network.take_port(options.host, options.port, usual, found.claim)
    if options.port is None and port != usual:
        click.echo(f"Port {usual} is taken; the token service takes {port}.", err=True)
    if options.port is None and sandbox:
        found.keep_ports(service=port)
    own = () if is_loopback(options.host) else network.own_addresses()
    certificate = found.certificate((*network.LOOPBACK_NAMES, *own)) if options.tls else None
    return DemoServer(options.host, port, certificate, options.origins, own, kept=found)


def _take_sandbox_port(options: Options, found: kept.Kept, service_port: int) -> int:
    usual = found.ports.get("sandbox", _SANDBOX_PORT)
    port = network.take_port("127.0.0.1", options.sandbox_port, usual, found.claim, apart_from=service_port)
    if options.sandbox_port is None:
        if port != usual:
            click.echo(f"Port {usual} is taken; the sandbox takes {port}.", err=True)
        found.keep_ports(sandbox=port)
    return port


def _public_url(options: Options, server: DemoServer) -> str:
    """Return where clients find the token service: with ``--lan`` at an address of the network."""
    if not options.lan or options.host not in network.WILDCARDS:
        return server.url
    if not server.own_hosts:
        raise StartError("This machine has no address on a network; connect it to one, or leave --lan out.")
    return network.url_of("https", server.own_hosts[0], server.port)


def _print_instructions(
    url: str, environ: dict[str, str], server: DemoServer, *, api_url: str | None
) -> None:
    jwt = sign(
        environ["JWT_SECRET"],
        issuer=environ["JWT_ISSUER"],
        audience=environ["JWT_AUDIENCE"],
        subject="demo-user",
        now=time.time(),
        lifetime=_JWT_SECONDS,
    )
    click.echo("\n".join(terminal.instructions(url, jwt, server.certificate, api_url=api_url)))


def _wait_for_any(processes: list[subprocess.Popen[str]]) -> None:
    """Wait until one of the servers ends, which it should not."""
    while all(process.poll() is None for process in processes):
        time.sleep(0.2)
    raise StartError("A demo server has stopped; see its output above.")
