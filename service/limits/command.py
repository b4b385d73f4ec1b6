"""``python -m service limits``: what the limits are, and what a user has left of them."""

from __future__ import annotations

import os
from collections.abc import Iterable

import click

from service.core.environment import ConfigurationError
from service.core.model import pseudonym
from service.limits.counter import StrategyCounter
from service.limits.counting import open_counter
from service.limits.settings import LimitSettings
from service.limits.state import Standing
from service.limits.storage import mask_url
from service.limits.window import Bucket, Window
from service.settings import Settings

_PRIVATE_MEMORY = (
    "Limits are counted in the memory of the server's process, which alone knows what is left; "
    "with RATE_LIMIT_STORAGE_URL set to a Redis this command can tell."
)


@click.command("limits")
@click.option("--user", metavar="SUB", help="Show what this user ('sub' of their tokens) has left.")
@click.option("--issuer", metavar="ISS", help="'iss' of the user's tokens; default: JWT_ISSUER.")
@click.option("--reset", is_flag=True, help="Give the user's requests back.")
def limits(user: str | None, issuer: str | None, *, reset: bool) -> None:
    """Print the limits in force and, with --user, the user's name in the log and what the user has left."""
    if reset and user is None:
        raise click.UsageError("--reset needs --user.")
    try:
        settings = LimitSettings.from_environ(os.environ)
        name = _pseudonym(user, issuer) if user is not None else None
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    _print_rules(settings)
    if name is None:
        return
    click.echo()
    _print_table([("in the log", name)])
    if settings.counts_in_memory:
        if reset:
            raise click.ClickException(_PRIVATE_MEMORY)
        click.echo(_PRIVATE_MEMORY)
        return
    try:
        _print_user(settings, name, reset=reset)
    except Exception as error:  # noqa: BLE001 - each storage's library fails in its own way, and its text may hold the URL
        raise click.ClickException(f"The storage cannot be asked ({type(error).__name__}).") from None


def _pseudonym(user: str, issuer: str | None) -> str:
    if not user.strip():
        raise click.BadParameter("must not be blank.", param_hint="--user")
    settings = Settings.from_environ(os.environ)
    try:
        namespace = settings.user_namespace(issuer)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--issuer") from None
    return pseudonym(settings.pseudonym_key, namespace, user)


def _print_rules(settings: LimitSettings) -> None:
    rules = settings.limit_rules
    rows = [("each user", _words(rules.user))]
    rows += [(f"tier {tier}", _words(windows)) for tier, windows in rules.tiers.items()]
    rows += [
        ("all together", _words(rules.everybody)),
        ("refused credentials", f"{_words(rules.failed_auth)}, for each address"),
        ("storage", mask_url(settings.storage_url.get_secret_value())),
        ("strategy", settings.rate_limit_strategy),
        ("storage away", settings.rate_limit_on_storage_failure),
    ]
    if rules.tiers:
        rows.append(("tier claim", rules.tier_claim))
    _print_table(rows)
    for warning in rules.warnings():
        click.echo(f"warning: {warning}", err=True)


def _print_user(settings: LimitSettings, name: str, *, reset: bool) -> None:
    rules = settings.limit_rules
    counter = open_counter(
        settings.storage_url.get_secret_value(),
        settings.rate_limit_strategy,
        on_heroku=settings.on_heroku,
    )
    tiers = {"each user": rules.user} | {f"tier {tier}": windows for tier, windows in rules.tiers.items()}
    buckets = {who: [Bucket("user", name, window) for window in windows] for who, windows in tiers.items()}
    if reset:
        counter.clear([bucket for group in buckets.values() for bucket in group])
        click.echo("Given back.")
    _print_table([(who, _left(counter, group)) for who, group in buckets.items()])
    _print_table([("all together", _left(counter, rules.global_buckets()))])


def _left(counter: StrategyCounter, buckets: Iterable[Bucket]) -> str:
    return "; ".join(_standing(standing) for standing in counter.peek(tuple(buckets)).standings)


def _standing(standing: Standing) -> str:
    window = standing.bucket.window
    wait = f" (the next in {standing.wait:.0f} s)" if standing.wait else ""
    return f"{standing.remaining} of {window.amount} in {window.span} left{wait}"


def _words(windows: Iterable[Window]) -> str:
    return "; ".join(f"{window.amount} in {window.span}" for window in windows)


def _print_table(rows: Iterable[tuple[str, str]]) -> None:
    for label, text in rows:
        click.echo(f"{label:<20} {text}")
