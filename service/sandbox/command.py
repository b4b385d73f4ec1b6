"""``python -m service sandbox``."""

from __future__ import annotations

import click

from service.sandbox.server import serve


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=9000, show_default=True, type=click.IntRange(0, 65_535), help="0: a free one."
)
@click.option("--tls", is_flag=True, help="Serve https and wss with a certificate made for this machine.")
@click.option("--beta", is_flag=True, help="Speak the retired beta as well.")
@click.option(
    "--connection-lost-seconds",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0),
    help="How long a Live session waits for a client that is gone.",
)
def sandbox(host: str, port: int, *, tls: bool, beta: bool, connection_lost_seconds: float) -> None:
    """Run the offline stand-in for the vendor's Realtime and GPT-Live APIs: no network, no cost.

    Its answers are canned, and its voices synthetic. WebRTC needs a network interface that is up, not the Internet: a
    browser offers no address without one (on a machine with nothing but loopback start Chromium with
    --allow-loopback-in-peer-connection).
    """
    serve(host, port, tls=tls, beta=beta, connection_lost_seconds=connection_lost_seconds)
