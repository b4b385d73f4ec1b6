"""What the demo prints: lines to paste at its start, then one line a request."""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from time import perf_counter
from typing import Final

import click
from flask import Flask, Response

from service.core.model import Record
from service.http.request import current_request
from service.observe.logs import QUIET_ROUTES
from service.sandbox.tls import Certificate
from service.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_LONGEST: Final = 200


def instructions(
    url: str, jwt: str, certificate: Certificate | None, *, api_url: str | None
) -> Iterator[str]:
    """Say what to do next. Each command is whole and alone on its line; all of them work from any folder.

    ``api_url`` is the sandbox's, for the vendor's SDKs.
    """
    authority = str(certificate.authority) if certificate else None
    trust = ["--cacert", authority] if authority else []
    curl = ["curl", *trust, "-X", "POST", f"{url}/token", "-H", f"Authorization: Bearer {jwt}"]
    curl += ["-H", "Content-Type: application/json", "-d", "{}"]
    # PYTHONSAFEPATH keeps a folder's own package of the name `service` out.
    connect = ["env", f"PYTHONPATH={_ROOT}", "PYTHONSAFEPATH=1", sys.executable, "-m", "service", "connect"]
    connect += [*trust, "--token-url", f"{url}/token", "--jwt", jwt]
    yield from (f"Demo page: {url}/demo", "")
    yield from (f"For your own app, and the examples of the README and {url}/docs/clients:", "")
    yield f"export TOKEN_SERVICE={shlex.quote(url)}"
    yield f"export JWT={jwt}"
    if api_url:
        yield f"export OPENAI_BASE_URL={shlex.quote(api_url)}"
    if authority:
        path = shlex.quote(authority)
        yield f"export SSL_CERT_FILE={path} REQUESTS_CA_BUNDLE={path} NODE_EXTRA_CA_CERTS={path}"
    yield from ("", "Mint a client secret:", "", shlex.join(curl), "")
    yield from ("Mint one and talk to the model:", "", shlex.join(connect), "")


def qr_code(url: str) -> str:
    """Draw a QR code of half blocks, to be read from a terminal by a phone."""
    import segno  # noqa: PLC0415 - a package of the sandbox, which --live does without

    drawn = io.StringIO()
    segno.make(url, micro=False).terminal(out=drawn, compact=True)
    return drawn.getvalue()


def costs(settings: Settings) -> Iterator[str]:
    """Say what a demo with the vendor behind it will cost, and what bounds it."""
    limits = "; ".join(str(item) for item in settings.limits.rate_limit_global)
    minutes = ", ".join(str(item) for item in settings.calls.call_minutes_global)
    yield "This is the vendor, and not the sandbox: every session is billed to the key in OPENAI_API_KEY."
    yield "GPT-Live costs $0.05 a minute, at least 15 s a call; Realtime is billed by tokens of audio and text"
    yield "(https://openai.com/api/pricing/). A session that a client secret opened may last for an hour."
    yield f"Bounds, all users of this page together: {limits} requests; calls: {minutes},"
    yield f"each {settings.calls.call_max_seconds} s at most. RATE_LIMIT_GLOBAL, CALL_MINUTES_GLOBAL and"
    yield "CALL_MAX_SECONDS change them; a budget at the vendor is the only bound that survives a restart."
    yield ""


def print_requests(app: Flask) -> None:
    """Print a line for each request: time, what, who, status, milliseconds, and why it was refused."""

    def write(response: Response) -> Response:
        asked = current_request()
        if asked.path in QUIET_ROUTES or asked.endpoint == "static":
            return response
        origin = asked.headers.get("Origin")
        reason = _reason(asked.record)
        if origin and "Access-Control-Allow-Origin" not in response.headers and origin != asked.host_url[:-1]:
            unread = f"its page may not read this; for that, start the demo with --origin {origin}"
            reason = f"{reason}; {unread}" if reason else unread
        elif asked.method == "OPTIONS":
            return response
        caller = asked.record.caller
        spent = 1000 * (perf_counter() - asked.started)
        told = [
            f"{datetime.now():%H:%M:%S}",  # noqa: DTZ005 - the clock on the reader's wall
            _printable(f"{asked.method} {asked.path}"),
            _printable(caller.subject if caller else "-"),
            click.style(response.status_code, fg=_colour(response.status_code, reason)),
            f"{spent:.0f} ms",
            *([_printable(reason)] if reason else []),
        ]
        click.echo("  ".join(told), err=True)
        return response

    app.after_request(write)


def _reason(record: Record) -> str:
    if record.fault:
        return f"{type(record.fault).__name__}, see above"
    if record.error is None:
        return record.http_error or ""
    why = record.error.reason or record.error.message
    return f"{record.error.code}: {why}"


def _colour(status: int, reason: str) -> str:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "red"
    return "yellow" if reason else "green"


def _printable(text: str) -> str:
    """Keep a client's bytes from steering the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text[:_LONGEST])
