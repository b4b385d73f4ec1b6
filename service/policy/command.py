"""``python -m service policy``: read the policy back, and try it, without a server and without the vendor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from service.core.env_file import environ_option
from service.core.environment import ConfigurationError
from service.core.errors import InvalidValueError, ServiceError, UnknownParameterError
from service.core.json import parse_object
from service.core.model import Caller, SessionType, TokenRequest
from service.http.schemas import TokenBody, parse_body
from service.policy import Policy, PolicyDocument, build
from service.policy.calls import MIN_CALL_SECONDS
from service.policy.explain import explain
from service.policy.settings import PolicySettings
from service.vendors.base import Vendor
from service.vendors.dialect import DialectSettings

_JSON_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--explain", "explained", is_flag=True, help="Say in words what is allowed (the default).")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of SESSION_POLICY.")
@click.option(
    "--try",
    "request",
    type=_JSON_FILE,
    help="A body of POST /token, or with an sdp of POST /calls: show the session that is granted, or the refusal.",
)
@click.option(
    "--call", "is_call", is_flag=True, help="With --try: a body of POST /calls, though it has no sdp."
)
@click.option("--claims", type=_JSON_FILE, help="With --try: the claims of the caller's JWT, as JSON.")
@environ_option
def policy(
    environ: dict[str, str],
    *,
    explained: bool,
    schema: bool,
    request: Path | None,
    is_call: bool,
    claims: Path | None,
) -> None:
    """Explain the session policy of this environment, or try a request against it."""
    if schema:
        click.echo(json.dumps(published_schema(), indent=2))
        return
    if (claims or is_call) and not request:
        raise click.UsageError("--claims and --call go with --try.")
    decided, vendor = _read_policy(environ)
    if explained or request is None:
        click.echo(explain(decided), nl=False)
    if request is not None:
        click.echo(_try(decided, vendor, request.read_bytes(), _caller(claims), is_call=is_call))


def published_schema() -> dict[str, Any]:
    """Return the JSON Schema that validates a policy document."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **PolicyDocument.model_json_schema()}


def _read_policy(environ: Mapping[str, str]) -> tuple[Policy, Vendor]:
    try:
        settings = PolicySettings.from_environ(environ)
        vendor = DialectSettings.from_environ(environ).vendor
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    if problems := settings.problems(vendor.layout):
        raise click.ClickException(str(ConfigurationError(problems)))
    return build(settings, vendor.layout), vendor


def _caller(path: Path | None) -> Caller:
    try:
        claims = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="--claims") from None
    if not isinstance(claims, dict):
        raise click.BadParameter("must be a JSON object, the claims of a JWT.", param_hint="--claims")
    subject = str(claims.get("sub", "someone"))
    return Caller(
        issuer=str(claims.get("iss", "")), subject=subject, claims=claims, pseudonym="(a pseudonym)"
    )


def _parse(body: bytes, *, is_call: bool) -> TokenRequest:
    """Read a body as ``POST /token`` does, or ``POST /calls``, which has an ``sdp`` and ``max_seconds``."""
    members = parse_object(body) if is_call or b'"sdp"' in body else {}
    if not is_call and "sdp" not in members:
        return parse_body(TokenBody, body)
    members.pop("sdp", None)
    if "expires_after" in members:
        raise UnknownParameterError("Unknown parameter: 'expires_after'.", param="expires_after")
    seconds = members.pop("max_seconds", None)
    if seconds is not None and (type(seconds) is not int or seconds < MIN_CALL_SECONDS):
        message = f"Invalid value for 'max_seconds': use a whole number, {MIN_CALL_SECONDS} or more."
        raise InvalidValueError(message, param="max_seconds")
    session = members.get("session")
    session_type: SessionType | None = None
    if isinstance(session, dict) and session.get("type") == "live":
        members["session"] = {name: value for name, value in session.items() if name != "type"}
        session_type = "live"
    request = parse_body(TokenBody, json.dumps(members).encode())
    session_type = session_type or request.session_type
    return replace(request, action="call", max_seconds=seconds, session_type=session_type)


def _try(decided: Policy, vendor: Vendor, body: bytes, caller: Caller, *, is_call: bool) -> str:
    """Decide on one request as ``POST /token``, or ``POST /calls``, would.

    Raises:
        click.ClickException: for a refusal, so that the exit status tells too.
    """
    try:
        grant = decided.decide(caller, _parse(body, is_call=is_call))
    except ValueError as error:
        raise click.BadParameter(f"{error}", param_hint="--try") from None
    except ServiceError as error:
        blame = f" ({error.param})" if error.param else ""
        lines = [f"refused: {error.status} {error.code}{blame}: {error.message}"]
        if error.reason:
            lines.append(f"decided by {error.reason.partition(': ')[0]}")
        raise click.ClickException("\n".join(lines)) from None
    findings = [f"would be refused by {finding}" for finding in grant.findings]
    if grant.action == "call":
        longest = grant.max_call_seconds
        how_long = "as long as CALL_MAX_SECONDS or the user's tier allows"
        if longest:
            how_long = (
                f"at most {longest} seconds, and not longer than CALL_MAX_SECONDS or the user's tier allows"
            )
        session = json.dumps(grant.session, indent=2, ensure_ascii=False)
        return "\n".join([f"granted: a {grant.session_type} call, {how_long}", session, *findings])
    request = vendor.mint(grant, caller.pseudonym)
    sent = json.dumps(json.loads(request.body), indent=2, ensure_ascii=False)
    return "\n".join([f"granted: POST {request.path}", sent, *findings])
