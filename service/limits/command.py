"""``python -m service limits``: print the limits, and what a user has left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import click

from service.core.env_file import environ_option
from service.core.environment import ConfigurationError, Problem
from service.core.errors import RateLimitStorageUnavailableError
from service.core.model import pseudonym
from service.limits.counter import Counter, create_counter
from service.limits.rules import Bucket, Window
from service.limits.settings import LimitSettings
from service.limits.strategies import BucketStatus
from service.settings import Settings
from service.store import StoreSettings, build
from service.store.settings import mask_url

_PRIVATE_MEMORY = (
    "Limits are counted in the server process's memory, which this command cannot read; "
    "set RATE_LIMIT_STORAGE_URL to a Redis to see what is left here."
)


@click.command("limits")
@click.option("--user", metavar="SUB", help="Show what this user ('sub' of their tokens) has left.")
@click.option("--issuer", metavar="ISS", help="'iss' of the user's tokens; default: JWT_ISSUER.")
@click.option("--reset", is_flag=True, help="Reset the user's counts.")
@environ_option
def limits(user: str | None, issuer: str | None, environ: dict[str, str], *, reset: bool) -> None:
    """Print the limits in force and, with --user, what a user has left."""
    if reset and user is None:
        raise click.UsageError("--reset needs --user.")
    try:
        settings, storage = _read_settings(environ)
        name = _pseudonym(user, issuer, environ) if user is not None else None
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    _print_rules(settings, storage)
    if name is None:
        return
    click.echo()
    _print_table([("in the log", name)])
    if storage.is_memory:
        if reset:
            raise click.ClickException(_PRIVATE_MEMORY)
        click.echo(_PRIVATE_MEMORY)
        return
    try:
        _print_user(settings, storage, name, reset=reset)
    except RateLimitStorageUnavailableError as error:
        raise click.ClickException(
            f"Cannot reach the storage ({type(error.__cause__ or error).__name__})."
        ) from None


def _pseudonym(user: str, issuer: str | None, environ: Mapping[str, str]) -> str:
    if not user.strip():
        raise click.BadParameter("must not be blank.", param_hint="--user")
    settings = Settings.from_environ(environ)
    try:
        namespace = settings.auth.user_namespace(issuer)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--issuer") from None
    return pseudonym(settings.pseudonym_key, namespace, user)


def _read_settings(environ: Mapping[str, str]) -> tuple[LimitSettings, StoreSettings]:
    """Read both groups, and report the problems of both together."""
    problems: list[Problem] = []
    for group in (LimitSettings, StoreSettings):
        try:
            group.from_environ(environ)
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(tuple(problems))
    return LimitSettings.from_environ(environ), StoreSettings.from_environ(environ)


def _print_rules(settings: LimitSettings, storage: StoreSettings) -> None:
    rules = settings.limit_rules
    rows = [("each user", _words(rules.user))]
    rows += [(f"tier {tier}", _words(windows)) for tier, windows in rules.tiers.items()]
    rows += [
        ("all together", _words(rules.everybody)),
        ("reading and ending calls", f"{_words(rules.call_control)}, for each user"),
        ("refused credentials", f"{_words(rules.failed_auth)}, for each address"),
        ("refused requests", f"{_words(rules.refused)}, for each user in each process"),
        ("storage", mask_url(storage.storage_url.get_secret_value())),
        ("strategy", settings.rate_limit_strategy),
        ("storage unavailable", storage.rate_limit_on_storage_failure),
    ]
    if rules.tiers:
        rows.append(("tier claim", rules.tier_claim))
    _print_table(rows)
    for warning in rules.warnings():
        click.echo(f"warning: {warning}", err=True)


def _print_user(settings: LimitSettings, storage: StoreSettings, name: str, *, reset: bool) -> None:
    rules = settings.limit_rules
    counter = create_counter(build(storage), settings.rate_limit_strategy)
    tiers = {"each user": None} | {f"tier {tier}": tier for tier in rules.tiers}
    buckets = {label: rules.user_buckets(name, tier) for label, tier in tiers.items()}
    if reset:
        counter.clear([bucket for group in buckets.values() for bucket in group])
        click.echo("Counts reset.")
    _print_table([(label, _left(counter, group)) for label, group in buckets.items()])
    _print_table([("all together", _left(counter, rules.global_buckets()))])


def _left(counter: Counter, buckets: Iterable[Bucket]) -> str:
    enforced = tuple(bucket for bucket in buckets if bucket.enforced)
    return "; ".join(_in_words(status) for status in counter.peek(enforced))


def _in_words(status: BucketStatus) -> str:
    window = status.bucket.window
    wait = f" (the next in {status.wait:.0f} s)" if status.wait else ""
    return f"{status.remaining} of {window.amount} in {window.span} left{wait}"


def _words(windows: Iterable[Window]) -> str:
    return "; ".join(f"{window.amount} in {window.span}" for window in windows)


def _print_table(rows: Iterable[tuple[str, str]]) -> None:
    for label, text in rows:
        click.echo(f"{label:<20} {text}")
