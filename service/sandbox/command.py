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
def sandbox(host: str, port: int, *, tls: bool, beta: bool) -> None:
    """Run the offline stand-in for the vendor's Realtime API: no network, no cost."""
    serve(host, port, tls=tls, beta=beta)
