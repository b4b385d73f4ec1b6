"""``python -m service issue-jwt``."""

from __future__ import annotations

import time
from typing import cast

import click

from service.auth.claim_checks import NO_PARTY
from service.auth.development import sign
from service.auth.keys import load_secret
from service.auth.settings import AuthSettings
from service.core.env_file import environ_option
from service.core.environment import ConfigurationError
from service.limits.settings import LimitSettings

_USUAL_LIFETIME = 3600


@click.command("issue-jwt")
@click.option("--sub", required=True, metavar="USER", help="The user that the token is for.")
@click.option("--tier", metavar="T", help="Sets the claim that RATE_LIMIT_TIER_CLAIM names.")
@click.option("--scope", metavar="S", help="Sets 'scope'; default: JWT_REQUIRED_SCOPE, if there is one.")
@click.option(
    "--expires-in",
    type=click.IntRange(1),
    metavar="S",
    help="Lifetime in seconds; default: 3600, or JWT_MAX_LIFETIME where that is less.",
)
@environ_option
def issue_jwt(
    sub: str, tier: str | None, scope: str | None, expires_in: int | None, environ: dict[str, str]
) -> None:
    """Print a development JWT signed with the first JWT_SECRET."""
    try:
        settings = AuthSettings.from_environ(environ)
        tier_claim = LimitSettings.from_environ(environ).rate_limit_tier_claim
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    if not settings.jwt_secret or not settings.jwt_issuer or not settings.jwt_audience:
        raise click.ClickException("JWT_SECRET, JWT_ISSUER and JWT_AUDIENCE are needed to sign a token.")
    if not sub.strip():
        raise click.BadParameter("must not be blank.", param_hint="--sub")
    lifetime = expires_in or min(_USUAL_LIFETIME, settings.jwt_max_lifetime)
    if lifetime > settings.jwt_max_lifetime:
        raise click.BadParameter(
            f"JWT_MAX_LIFETIME refuses more than {settings.jwt_max_lifetime} seconds.",
            param_hint="--expires-in",
        )
    secret = load_secret(settings.jwt_secret[0].get_secret_value(), settings.jwt_secret_encoding).key
    provider = settings.auth_provider
    users = provider.user_claims if provider and provider.shares_secret else {}
    asked = {
        tier_claim: tier,
        "scope": scope or settings.jwt_required_scope,
        "azp": _choose_party(settings),
    }
    if settings.jwt_user_claim != "sub":
        asked[settings.jwt_user_claim] = sub
    click.echo(
        sign(
            cast("bytes", secret),
            issuer=settings.secret_issuers[0],
            audience=settings.jwt_audience[0],
            subject=sub,
            now=time.time(),
            lifetime=lifetime,
            **{**users, **{name: value for name, value in asked.items() if value}},
        )
    )


def _choose_party(settings: AuthSettings) -> str | None:
    """Return an ``azp`` that is accepted, where tokens without one are not."""
    parties = settings.jwt_authorized_parties
    return None if NO_PARTY in parties else next(iter(parties), None)
