"""``python -m service sandbox``."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from service.sandbox.server import serve

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def require_packages() -> None:
    """Check that the packages which only the sandbox needs are installed.

    Raises:
        ClickException: if one is missing; the message is the command that installs them.
    """
    for name in re.findall(r"^([A-Za-z0-9._-]+)==", _REQUIREMENTS.read_text(), re.MULTILINE):
        try:
            version(name)
        except PackageNotFoundError:
            install = f"{sys.executable} -m pip install -r {_REQUIREMENTS}"
            raise click.ClickException(
                f"The sandbox needs {name}, which is not installed. Run: {install}"
            ) from None


def _print_event_types(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if wanted:
        from service.sandbox.event_types import listing  # noqa: PLC0415 - only here, as it imports all sessions

        click.echo("\n".join(listing()))
        context.exit()


def _check_deployments(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    from service.sandbox.azure import Azure  # noqa: PLC0415 - needs packages that only the sandbox needs

    for deployment in given:
        name, _, model = deployment.partition("=")
        try:
            Azure({name: model})
        except ValueError as error:
            raise click.BadParameter(f"must be NAME=MODEL, with a model of GET /models: {error}") from None
    return given


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=9000, show_default=True, type=click.IntRange(0, 65_535), help="0: a free one."
)
@click.option("--tls", is_flag=True, help="Serve https and wss with a certificate made for this machine.")
@click.option("--beta", is_flag=True, help="Speak the retired beta as well.")
@click.option(
    "--azure", is_flag=True, help="Be a resource of Azure OpenAI: its paths, keys, deployments and refusals."
)
@click.option(
    "--deployment",
    "deployments",
    multiple=True,
    metavar="NAME=MODEL",
    callback=_check_deployments,
    help="With --azure: deploy a model under another name than its own. Can be given several times.",
)
@click.option(
    "--connection-lost-seconds",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0),
    help="How long a Live session waits for a client that has disconnected.",
)
@click.option(
    "--certificate",
    type=click.Path(exists=True, dir_okay=False),
    help="The authority.pem of a certificate made before, to serve with instead of a new one (with --tls).",
)
@click.option("--peer-host", help="Where WebRTC peers are reached; default: --host.")
@click.option(
    "--events",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_event_types,
    help="List all event types that it takes and sends, and end.",
)
def sandbox(  # noqa: PLR0913 - an argument for each option
    host: str,
    port: int,
    *,
    tls: bool,
    beta: bool,
    azure: bool,
    deployments: tuple[str, ...],
    connection_lost_seconds: float,
    certificate: str | None,
    peer_host: str | None,
) -> None:
    """Run the offline stand-in for the vendor's Realtime and GPT-Live APIs: no network, no cost.

    It contains no AI model: its answers are canned, its voices are synthetic and cannot be understood, and a
    transcript says only how long somebody spoke.

    WebRTC needs a network interface that is up, not the Internet: without one, a browser offers no address. On a
    machine with nothing but loopback, start Chromium with --allow-loopback-in-peer-connection. Peers are reached at
    127.0.0.1, and at the machine's own addresses if --peer-host (--host) is another one.
    """
    if azure and beta:
        raise click.UsageError("Azure has no beta: give --azure or --beta.")
    if deployments and not azure:
        raise click.UsageError("--deployment goes with --azure.")
    require_packages()
    serve(
        host,
        port,
        tls=tls,
        beta=beta,
        azure=azure,
        deployments=deployments,
        connection_lost_seconds=connection_lost_seconds,
        certificate=certificate,
        peer_host=peer_host,
    )
