"""``python -m service connect``: the companion from end to end."""

from __future__ import annotations

import json
from typing import Any

import click
import requests
import websocket

from service.companion import client
from service.vendors import wire


@click.command()
@click.option("--token-url", required=True, help="The service's POST /token.")
@click.option(
    "--jwt", envvar="REALTIME_JWT", required=True, help="The user's JWT; REALTIME_JWT keeps it out of ps."
)
@click.option("--model", help="A Realtime model; default: the service's.")
@click.option("--text", default="Say hello in one sentence.", show_default=True, help="What to say.")
@click.option(
    "--cacert", type=click.Path(exists=True), help="Certificates to trust instead of the usual ones."
)
def connect(token_url: str, jwt: str, model: str | None, text: str, cacert: str | None) -> None:
    """Mint a secret, open a session, say something, and print each event as one JSON line."""
    try:
        token = client.request_token(token_url, jwt, model=model, ca_certs=cacert)
        with client.connect(token, ca_certs=cacert) as session:
            _converse(session, text, beta=wire.BETA_SUBPROTOCOL in token.protocols)
    except client.CompanionError as error:
        raise click.ClickException(f"{error} ({error.code})" if error.code else str(error)) from None
    except (requests.RequestException, websocket.WebSocketException, OSError) as error:
        # By name only: a message may repeat the request, and with it a secret.
        raise click.ClickException(f"The connection failed: {type(error).__name__}.") from None


def _converse(session: client.RealtimeSession, text: str, *, beta: bool) -> None:
    session.send(
        {
            "type": "conversation.item.create",
            "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]},
        }
    )
    modalities = "modalities" if beta else "output_modalities"
    session.send({"type": "response.create", "response": {modalities: ["text"]}})
    for event in session:
        click.echo(_line(event))
        if event.get("type") == "response.done":
            return
    raise client.SessionRefusedError("The session ended before response.done.")


def _line(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False)
