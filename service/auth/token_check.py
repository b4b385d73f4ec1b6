"""Take one token through every check, as the service does, and report each with what was found and expected.

Nothing here prints the token, and ``JWT_SINGLE_USE`` does not count it as used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.auth.authenticator import Authenticator, read_token_id
from service.auth.claim_checks import CLAIM_CHECKS, TokenRules
from service.auth.token import (
    MAX_TOKEN_CHARACTERS,
    ParsedToken,
    TokenRejectedError,
    bearer_token,
    parse_token,
    sanitize_for_log,
)
from service.core.claims import find_claim, has_scope
from service.core.errors import (
    IdentityProviderUnavailableError,
    MissingTokenError,
    RequestHeaderFieldsTooLargeError,
)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: whether the token passed, what it said, what was expected, and why it was refused."""

    name: str
    passed: bool
    found: str
    expected: str
    reason: str | None = None


def check_token(text: str, authenticator: Authenticator, *, now: float) -> Iterator[CheckResult]:
    """Yield the result of each check that can be made. ``now`` is in seconds since the epoch.

    Claims are checked even where the signature is not good, since both may be wrong.
    """
    text = text.strip()
    text = text[7:].strip() if text[:7].lower() == "bearer " else text
    size = f"{len(text)} characters"
    try:
        bearer_token(f"Bearer {text}")
    except MissingTokenError:
        yield CheckResult("size", False, "nothing", "a token", "no token was given")  # noqa: FBT003 - passed
        return
    except RequestHeaderFieldsTooLargeError as error:
        yield CheckResult("size", False, size, f"at most {MAX_TOKEN_CHARACTERS}", error.reason)  # noqa: FBT003 - passed
        return
    yield CheckResult("size", True, size, f"at most {MAX_TOKEN_CHARACTERS}")  # noqa: FBT003 - passed
    try:
        token = parse_token(text)
    except TokenRejectedError as error:
        yield CheckResult("form", False, "something else", "a signed JWT (three parts)", error.reason)  # noqa: FBT003 - passed
        return
    header = {name: token.header[name] for name in ("alg", "kid", "typ") if name in token.header}
    yield CheckResult("form", True, f"a signed JWT, {_show(header)}", "a signed JWT (three parts)")  # noqa: FBT003 - passed
    yield _check_issuer(token, authenticator)
    yield _check_signature(token, authenticator)
    yield from _check_claims(token, _choose_rules(token, authenticator), now)
    if authenticator.wants_single_use:
        yield _check_token_id(token)


def _check_issuer(token: ParsedToken, authenticator: Authenticator) -> CheckResult:
    expected = [issuer for each in authenticator.trusted for issuer in each.rules.issuers]
    passed = token.issuer in expected
    reason = (
        None if passed else "the signature cannot be checked: each key is trusted for its own issuer only"
    )
    found = sanitize_for_log(token.claims.get("iss"))
    return CheckResult("issuer", passed, f"iss {found}", " or ".join(dict.fromkeys(expected)), reason)


def _check_signature(token: ParsedToken, authenticator: Authenticator) -> CheckResult:
    found = _show({name: token.header[name] for name in ("alg", "kid") if name in token.header})
    reason: str | None = None
    try:
        authenticator.verify_signature(token)
    except TokenRejectedError as error:
        reason = error.reason
    except IdentityProviderUnavailableError as error:
        reason = error.reason or "the key set could not be fetched"
    # After the attempt, so that what was fetched for it is listed.
    return CheckResult("signature", reason is None, found, _describe_keys(token, authenticator), reason)


def _describe_keys(token: ParsedToken, authenticator: Authenticator) -> str:
    """List the keys that are trusted for the token's issuer."""
    described: list[str] = []
    for trusted in authenticator.trusted:
        if token.issuer in trusted.rules.issuers:
            described.extend(trusted.keys.describe_keys())
    return ", ".join(described) or "no key is trusted for this issuer"


def _choose_rules(token: ParsedToken, authenticator: Authenticator) -> TokenRules:
    """Return the rules of the issuer that signed the token, else of the one that it names, else of the first."""
    try:
        return authenticator.verify_signature(token).rules
    except (TokenRejectedError, IdentityProviderUnavailableError):
        named = [each.rules for each in authenticator.trusted if token.issuer in each.rules.issuers]
        return named[0] if named else authenticator.trusted[0].rules


def _check_claims(token: ParsedToken, rules: TokenRules, now: float) -> Iterator[CheckResult]:
    values = _values(token, rules, now)
    for name, check in CLAIM_CHECKS.items():
        try:
            check(token, rules, now)
        except TokenRejectedError as error:
            yield CheckResult(name, False, *values[name], error.reason)  # noqa: FBT003 - passed
        else:
            yield CheckResult(name, True, *values[name])  # noqa: FBT003 - passed
    if rules.required_scope:
        granted = {
            name: token.claims[name] for name in ("scope", "scp", "permissions") if name in token.claims
        }
        passed = has_scope(token.claims, rules.required_scope)
        reason = None if passed else "JWT_REQUIRED_SCOPE is missing"
        yield CheckResult("scope", passed, _show(granted), rules.required_scope, reason)


def _check_token_id(token: ParsedToken) -> CheckResult:
    """Check that the token can be told from others of its user; whether it was used already is not looked up."""
    reason: str | None = None
    try:
        read_token_id(token)
    except TokenRejectedError as error:
        reason = error.reason
    return CheckResult(
        "single use", reason is None, f"jti {_show(token.claims.get('jti'))}", "a text", reason
    )


def _values(token: ParsedToken, rules: TokenRules, now: float) -> dict[str, tuple[str, str]]:
    """Say for each check of claims what the token has and what is expected."""
    provider, claims = rules.provider, token.claims
    dates = [f"{name} {_show_date(claims[name])}" for name in ("iat", "nbf", "exp") if name in claims]
    audience = provider.read_audience(claims) if provider else claims.get("aud")
    return {
        "type": (f"typ {_show(token.header.get('typ'))}", "JWT or at+jwt"),
        "times": (
            ", ".join(dates) or "none",
            f"valid at {_show_date(now)} (± {rules.leeway} s), for at most {rules.max_lifetime} s",
        ),
        "audience": (f"aud {_show(audience)}", " or ".join(rules.audiences) or "none"),
        "authorized party": (
            f"azp {_show(claims.get('azp'))}",
            " or ".join(rules.authorized_parties) or "any",
        ),
        "provider": (
            _show(claims.get("token_use") or claims.get("role") or claims.get("sub")),
            f"a user's token of {provider.name}" if provider else "no preset is set",
        ),
        "user": (f"{rules.user_claim} {_show(find_claim(claims, rules.user_claim))}", "the name of a user"),
    }


def _show(value: Any) -> str:
    """Write a value of the token on one line, bounded."""
    return sanitize_for_log(value if isinstance(value, str) else json.dumps(value))


def _show_date(value: Any) -> str:
    try:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError, OSError):
        return _show(value)
