"""``python -m service calls`` and ``revoke``: what the admin routes do, where calls are kept on a Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from service.auth.revocations import Revocations
from service.calls.factory import build_registry
from service.calls.model import Call, Change
from service.calls.registry import CallRegistry
from service.core.env_file import environ_option
from service.core.environment import ConfigurationError
from service.core.errors import UnavailableError
from service.settings import Settings
from service.store import Store, build

_IN_MEMORY = (
    "Calls are kept in the server process's memory, which this command cannot read: use {route} with ADMIN_TOKEN, or"
    " set RATE_LIMIT_STORAGE_URL to a Redis."
)


@click.command("calls")
@click.option("--sub", metavar="SUB", help="Show, or end, this user's calls only ('sub' of their tokens).")
@click.option("--issuer", metavar="ISS", help="'iss' of the user's tokens; default: JWT_ISSUER.")
@click.option("--end", "end_id", metavar="ID", help="End this call.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
@environ_option
def calls(
    sub: str | None, issuer: str | None, end_id: str | None, environ: dict[str, str], *, as_json: bool
) -> None:
    """List open and ending calls, oldest first, or end one of them."""
    with _kept(environ, "GET /admin/calls or DELETE /admin/calls/ID") as (settings, store):
        registry = build_registry(store, upstream_timeout=settings.vendor.upstream_timeout)
        user = _user(settings, sub, issuer) if sub is not None else None
        if end_id is not None:
            change = _end(registry, end_id, user)
            state = "is being ended" if change.changed else f"is {change.call.state} already"
            click.echo(_json({"call": _shown(change.call)}) if as_json else f"call {end_id} {state}")
            return
        found = registry.list_calls(user=user)
    if as_json:
        click.echo(_json({"calls": [_shown(call) for call in found]}))
        return
    for call in found:
        click.echo(_line(call))
    click.echo(f"{len(found)} calls" if len(found) != 1 else "1 call")


@click.command("revoke")
@click.argument("sub")
@click.option("--issuer", metavar="ISS", help="'iss' of the user's tokens; default: JWT_ISSUER.")
@environ_option
def revoke(sub: str, issuer: str | None, environ: dict[str, str]) -> None:
    """End a user's calls, and refuse the JWTs that were issued to the user up to now.

    This is not a ban: also block the user at the identity provider, or it will issue new ones.
    """
    with _kept(environ, "POST /admin/revocations") as (settings, store):
        user = _user(settings, sub, issuer)
        auth = settings.auth
        revocations = Revocations(store, max_lifetime=auth.jwt_max_lifetime, leeway=auth.jwt_leeway)
        issued_before = revocations.revoke(user)
        registry = build_registry(store, upstream_timeout=settings.vendor.upstream_timeout)
        ended = registry.end_user(user, "revoked")
    until = datetime.fromtimestamp(issued_before, UTC).isoformat()
    click.echo(f"user {user}: JWTs issued up to {until} are refused; calls being ended: {len(ended)}")


@contextmanager
def _kept(environ: Mapping[str, str], route: str) -> Iterator[tuple[Settings, Store]]:
    """Give the settings and the Redis; what cannot be done there is an error of one line."""
    try:
        settings = Settings.from_environ(environ)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    if settings.store.is_memory:
        raise click.UsageError(_IN_MEMORY.format(route=route))
    try:
        yield settings, build(settings.store)
    except UnavailableError as error:
        raise click.ClickException(f"Cannot reach the storage: {error.reason or error.message}.") from None


def _user(settings: Settings, sub: str, issuer: str | None) -> str:
    if not sub.strip():
        raise click.BadParameter("must not be blank.", param_hint="SUB")
    try:
        return settings.pseudonym_of(sub, issuer)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--issuer") from None


def _end(registry: CallRegistry, call_id: str, user: str | None) -> Change:
    change = registry.end(call_id, "admin", user=user)
    if change is None:
        raise click.ClickException(f"There is no call {call_id}{' of this user' if user else ''}.")
    return change


def _shown(call: Call) -> dict[str, Any]:
    """Write a call down as the admin routes show it."""
    return call.as_json() | {"user": call.user, "upstream_id": call.upstream_id}


def _json(shown: Mapping[str, Any]) -> str:
    return json.dumps(shown, indent=2)


def _line(call: Call) -> str:
    expires = datetime.fromtimestamp(call.expires_at, UTC).isoformat(timespec="seconds")
    what = f"{call.id}  {call.state:<7} {call.type:<8} {call.model}"
    return f"{what}  until {expires}  user {call.user}  {call.upstream_id or ''}"
