"""``python -m service connect``: the companion from end to end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Container, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import requests
import websocket

from service.companion import client
from service.vendors import wire

_SPOKEN = frozenset(
    {
        "response.output_text.delta",
        "response.output_audio_transcript.delta",
        "response.text.delta",
        "response.audio_transcript.delta",
        "session.output_transcript.delta",
    }
)
"""The events whose ``delta`` is what the model says, of the API, its beta and GPT-Live."""

_REQUIREMENTS = Path(__file__).parents[1] / "sandbox" / "requirements.txt"


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    token_url: str
    jwt: str = field(repr=False)
    model: str | None
    text: str
    sound: Path | None
    cacert: str | None


def _token_url(ctx: click.Context, param: click.Parameter, given: str | None) -> str:
    base = os.environ.get("TOKEN_SERVICE", "").rstrip("/")
    if not given and not base:
        raise click.MissingParameter("It can be left out where TOKEN_SERVICE is set.", ctx, param)
    return given or f"{base}/token"


@click.command()
@click.option(
    "--token-url",
    callback=_token_url,
    help="The service's POST /token; default: TOKEN_SERVICE with /token after it.",
)
@click.option(
    "--jwt",
    envvar=["REALTIME_JWT", "JWT"],
    required=True,
    help="The user's JWT; in REALTIME_JWT or JWT instead, it does not show in lists of processes.",
)
@click.option("--model", help="A Realtime or GPT-Live model; default: the service's.")
@click.option("--text", default="Say hello in one sentence.", show_default=True, help="What to say.")
@click.option("--call", "by_call", is_flag=True, help="Open a call (WebRTC) instead of minting a secret.")
@click.option(
    "--sound",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --call: a sound file to say instead of the text.",
)
@click.option(
    "--cacert", type=click.Path(exists=True), help="Certificates to trust instead of the usual ones."
)
def connect(  # noqa: PLR0913 - an argument for each option
    token_url: str,
    jwt: str,
    model: str | None,
    text: str,
    *,
    by_call: bool,
    sound: Path | None,
    cacert: str | None,
) -> None:
    """Mint a secret, open a session, say something, and print the answer.

    On a terminal it is printed as text; elsewhere each event is one JSON line. With --call a call is opened instead.
    """
    if sound and not by_call:
        raise click.UsageError("--sound is for --call.")
    if by_call and not sound and (model or "").startswith("gpt-live-"):
        raise click.UsageError(
            "GPT-Live accepts only audio, and each call costs money: give an audio file with --sound."
        )
    options = Options(token_url, jwt, model, text, sound, cacert)
    show = Text() if sys.stdout.isatty() else JsonLines()
    try:
        if by_call:
            asyncio.run(_call(options, show))
        else:
            for event in _converse(options):
                show.event(event)
    except client.CompanionError as error:
        raise click.ClickException(f"{error} ({error.code})" if error.code else str(error)) from None
    except (requests.RequestException, websocket.WebSocketException, OSError) as error:
        # By name only: a message may repeat the request, and with it a secret.
        raise click.ClickException(f"The connection failed: {type(error).__name__}.") from None
    finally:
        show.end()


class JsonLines:
    """Prints each event as one line of JSON, for a program to read."""

    def event(self, event: dict[str, Any]) -> None:
        """Print one event."""
        click.echo(json.dumps(event, ensure_ascii=False))

    def end(self) -> None:
        """Print nothing: each line is whole already."""


class Text:
    """Prints what the model says as it comes, for a person to read; errors go to standard error."""

    def __init__(self) -> None:
        self._column = 0

    def event(self, event: dict[str, Any]) -> None:
        """Print one event, if it says something."""
        if event.get("type") in _SPOKEN:
            delta = "".join(c if c.isprintable() or c == "\n" else "?" for c in str(event.get("delta", "")))
            self._column += len(delta)
            click.echo(delta, nl=False)
        elif event.get("type") == "error":
            self.end()
            click.echo(f"Error: {event.get('error', {}).get('message')}", err=True)

    def end(self) -> None:
        """End the line, if there is one."""
        if self._column:
            click.echo()
        self._column = 0


def _converse(options: Options) -> Iterator[dict[str, Any]]:
    token = client.request_token(options.token_url, options.jwt, model=options.model, ca_certs=options.cacert)
    modalities = "modalities" if wire.BETA_SUBPROTOCOL in token.protocols else "output_modalities"
    with client.connect(token, ca_certs=options.cacert) as session:
        turn = client.text_turn(options.text, modalities)
        for event in turn:
            session.send(event)
        for event in session:
            yield event
            if event.get("type") == "response.done":
                return
            raise_refusal(event, {sent["event_id"] for sent in turn})
    raise client.SessionRefusedError("The session ended before response.done.")


def raise_refusal(event: Mapping[str, Any], sent: Container[str]) -> None:
    """Raise the error that answers one of the events that were sent: no answer follows, and the session stays open.

    Raises:
        SessionRefusedError: it is one.
    """
    error = event.get("error")
    if event.get("type") == "error" and isinstance(error, dict) and error.get("event_id") in sent:
        raise client.SessionRefusedError(str(error.get("message")), code=error.get("code"))


async def _call(options: Options, show: Text | JsonLines) -> None:
    try:
        from service.companion import call  # noqa: PLC0415 - production has no aiortc
    except ImportError as error:
        install = f"{sys.executable} -m pip install -r {_REQUIREMENTS}"
        raise click.ClickException(
            f"--call needs {error.name}, which is not installed. Run: {install}"
        ) from None
    service = call.CallService(options.token_url.removesuffix("/token"), options.jwt, options.cacert)
    body = {"model": options.model} if options.model else {}
    async with aclosing(call.converse(service, body, options.text, options.sound)) as events:
        async for event in events:
            show.event(event)
