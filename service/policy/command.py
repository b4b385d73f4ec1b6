"""``python -m service policy``: read the policy back, and try it, without a server and without the vendor."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from service.core.environment import ConfigurationError
from service.core.errors import ServiceError
from service.core.model import Caller
from service.http.schemas import TokenBody, parse_body
from service.policy import Policy, PolicyDocument, build
from service.policy.explain import explain
from service.policy.settings import PolicySettings
from service.vendors.dialect import DialectSettings
from service.vendors.layouts import OPENAI, OPENAI_BETA
from service.vendors.wire import mint_request

_JSON_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--explain", "explained", is_flag=True, help="Say in words what is allowed (the default).")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of SESSION_POLICY.")
@click.option(
    "--try",
    "request",
    type=_JSON_FILE,
    help="A body of POST /token: show what would be sent, or the refusal.",
)
@click.option("--claims", type=_JSON_FILE, help="With --try: the claims of the caller's JWT, as JSON.")
def policy(*, explained: bool, schema: bool, request: Path | None, claims: Path | None) -> None:
    """Explain the session policy of this environment, or try a request against it."""
    if schema:
        click.echo(json.dumps(published_schema(), indent=2))
        return
    if claims and not request:
        raise click.UsageError("--claims goes with --try.")
    decided = _policy_of_environment()
    if explained or request is None:
        click.echo(explain(decided), nl=False)
    if request is not None:
        click.echo(_try(decided, request.read_bytes(), _caller(claims)))


def published_schema() -> dict[str, Any]:
    """Return the JSON Schema that validates a policy document."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **PolicyDocument.model_json_schema()}


def _policy_of_environment() -> Policy:
    try:
        settings = PolicySettings.from_environ(os.environ)
        layout = OPENAI_BETA if DialectSettings.from_environ(os.environ).beta else OPENAI
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    if problems := settings.problems(layout):
        raise click.ClickException(str(ConfigurationError(problems)))
    return build(settings, layout)


def _caller(path: Path | None) -> Caller:
    try:
        claims = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="--claims") from None
    if not isinstance(claims, dict):
        raise click.BadParameter("must be a JSON object, the claims of a JWT.", param_hint="--claims")
    subject = str(claims.get("sub", "someone"))
    return Caller(
        issuer=str(claims.get("iss", "")), subject=subject, claims=claims, pseudonym="(a pseudonym)"
    )


def _try(decided: Policy, body: bytes, caller: Caller) -> str:
    """Decide on one request as ``POST /token`` would.

    Raises:
        click.ClickException: for a refusal, so that the exit status tells too.
    """
    try:
        grant = decided.decide(caller, parse_body(TokenBody, body))
    except ServiceError as error:
        blame = f" ({error.param})" if error.param else ""
        lines = [f"refused: {error.status} {error.code}{blame}: {error.message}"]
        if error.reason:
            lines.append(f"decided by {error.reason.partition(': ')[0]}")
        raise click.ClickException("\n".join(lines)) from None
    request = mint_request(grant, safety_identifier=caller.pseudonym, beta=not decided.layout.has_expiry)
    sent = json.dumps(json.loads(request.body), indent=2, ensure_ascii=False)
    findings = [f"would be refused by {finding}" for finding in grant.findings]
    return "\n".join([f"granted: POST {request.path}", sent, *findings])
