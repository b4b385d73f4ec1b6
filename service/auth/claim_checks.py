"""Check what a verified token claims: one rule per function, each rejecting with its reason.

PyJWT verifies the signature only. Its own checks of claims are not used, since they read ``exp`` from strings,
keep their own clock and know no upper bound (RFC 8725 §3.10: do not trust received claims).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.auth.providers.base import Provider
from service.auth.token import ParsedToken, TokenRejectedError, sanitize_for_log
from service.core.claims import Claims, find_claim

MAX_SUBJECT_CHARACTERS = 255
"""OpenID Connect Core §2 bounds ``sub`` so."""

NO_PARTY = "-"
"""Listed in ``JWT_AUTHORIZED_PARTIES``, it admits tokens without ``azp``."""

_LATEST_DATE = 2**53
"""Above it a JSON number is no longer exact, and no calendar reaches there."""

_TOKEN_TYPES = ("jwt", "at+jwt")


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What the admin and the identity provider's preset demand of a token of ``issuers``.

    ``max_lifetime`` and ``leeway`` are in seconds. ``audiences`` is empty only for a provider whose tokens carry
    none. An empty ``authorized_parties`` means any. ``user_claim`` is the claim that names the user.
    """

    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    required_scope: str | None
    max_lifetime: int
    leeway: int
    authorized_parties: tuple[str, ...]
    allow_anonymous: bool
    allow_machines: bool
    user_claim: str
    provider: Provider | None


def check_type(token: ParsedToken, rules: TokenRules, _now: float) -> None:
    """Accept only tokens that are typed as access or identity tokens (RFC 8725 §3.11, RFC 9068 §2.1).

    The same issuer may sign DPoP proofs, logout tokens and security events with the same key.
    """
    if "typ" not in token.header:
        if rules.provider and rules.provider.always_typed:
            raise TokenRejectedError("wrong_type", f"typ is missing, which {rules.provider.name} always sets")
        return
    kind = token.header["typ"].lower().removeprefix("application/")
    if kind not in _TOKEN_TYPES:
        raise TokenRejectedError(
            "wrong_type", "typ is neither JWT nor at+jwt", typ=sanitize_for_log(token.header["typ"])
        )


def check_times(token: ParsedToken, rules: TokenRules, now: float) -> None:
    """Check ``exp`` (required), ``nbf`` and ``iat``, and that the token does not live too long."""
    expires = read_date(token.claims, "exp")
    issued = read_date(token.claims, "iat")
    not_before = read_date(token.claims, "nbf")
    if expires is None:
        raise TokenRejectedError("missing_claim", "exp is missing")
    if expires <= now - rules.leeway:
        raise TokenRejectedError("expired", f"the token expired {now - expires:.0f} s ago")
    if issued is not None and issued > now + rules.leeway:
        raise TokenRejectedError("not_yet_valid", f"iat is {issued - now:.0f} s ahead of our clock")
    if not_before is not None and not_before > now + rules.leeway:
        raise TokenRejectedError("not_yet_valid", f"nbf is {not_before - now:.0f} s ahead of our clock")
    lifetime = expires - (now if issued is None else issued)
    if lifetime > rules.max_lifetime:
        raise TokenRejectedError(
            "lives_too_long",
            f"the token lives {lifetime:.0f} s, JWT_MAX_LIFETIME is {rules.max_lifetime}",
        )


def read_date(claims: Claims, name: str) -> float | None:
    """Read a NumericDate in seconds since the epoch (RFC 7519 §2); ``None`` where it is absent.

    Raises:
        TokenRejectedError: it is not a number (a string, a boolean) or not a date (``1e300``).
    """
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRejectedError("wrong_claim_type", f"{name} is not a number", got=type(value).__name__)
    if not 0 <= value < _LATEST_DATE:
        raise TokenRejectedError("wrong_claim_type", f"{name} is not a date")
    return value


def check_audience(token: ParsedToken, rules: TokenRules, _now: float) -> None:
    """Require one of our audiences in ``aud``, or where the provider puts it (RFC 7519 §4.1.3)."""
    found = rules.provider.read_audience(token.claims) if rules.provider else token.claims.get("aud")
    audiences = [found] if isinstance(found, str) else found
    expected = " ".join(rules.audiences)
    if audiences is None and not rules.audiences:
        return
    if audiences is None:
        raise TokenRejectedError("missing_claim", "aud is missing", expected_audience=expected)
    if not isinstance(audiences, list) or not all(isinstance(audience, str) for audience in audiences):
        raise TokenRejectedError("wrong_claim_type", "aud is neither a string nor a list of strings")
    if not any(audience in rules.audiences for audience in audiences):
        raise TokenRejectedError(
            "wrong_audience",
            "aud contains no accepted audience",
            audience=sanitize_for_log(" ".join(audiences)),
            expected_audience=expected,
        )


def check_authorized_party(token: ParsedToken, rules: TokenRules, _now: float) -> None:
    """Require ``azp`` to be among ``JWT_AUTHORIZED_PARTIES``, where that is set; ``-`` admits tokens without."""
    if not rules.authorized_parties:
        return
    party = token.claims.get("azp")
    if party is None:
        if NO_PARTY not in rules.authorized_parties:
            raise TokenRejectedError(
                "wrong_party",
                "azp is missing and JWT_AUTHORIZED_PARTIES is set; add '-' to it to admit such tokens (of native apps)",
            )
    elif party == NO_PARTY or party not in rules.authorized_parties:
        raise TokenRejectedError(
            "wrong_party", "azp is not among JWT_AUTHORIZED_PARTIES", azp=sanitize_for_log(party)
        )


def check_provider(token: ParsedToken, rules: TokenRules, _now: float) -> None:
    """Refuse what the provider signs that is not a signed-in user's token for an app."""
    provider = rules.provider
    if provider is None:
        return
    provider.check_user_token(token, audience_is_known=bool(rules.audiences))
    if provider.is_machine(token.claims) and not rules.allow_machines:
        raise TokenRejectedError(
            "machine",
            "this is a machine-to-machine token (client credentials), and ALLOW_MACHINE_TOKENS is off",
        )
    if provider.is_anonymous(token.claims) and not rules.allow_anonymous:
        raise TokenRejectedError(
            "anonymous", "the user signed in anonymously, and ALLOW_ANONYMOUS_USERS is off"
        )


def check_user(token: ParsedToken, rules: TokenRules, _now: float) -> None:
    """Require a claim that names the user."""
    read_subject(token.claims, rules.user_claim)


def read_subject(claims: Claims, user_claim: str = "sub") -> str:
    """Read the claim that names the user: a string; where ``JWT_USER_CLAIM`` names another than ``sub``, a whole
    number as well.

    A blank one would put all such users into one limit, and an invisible one looks blank to a person.

    Raises:
        TokenRejectedError: it is missing, or does not name anybody.
    """  # noqa: D205 - the first sentence needs two lines
    subject = find_claim(claims, user_claim)
    if user_claim != "sub" and isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    if not isinstance(subject, str):
        raise TokenRejectedError("bad_subject", f"{user_claim} is not a string", got=type(subject).__name__)
    if not subject.strip() or not subject.isprintable() or len(subject) > MAX_SUBJECT_CHARACTERS:
        raise TokenRejectedError("bad_subject", f"{user_claim} is blank, unprintable or too long")
    return subject


ClaimCheck = Callable[[ParsedToken, TokenRules, float], None]

CLAIM_CHECKS: dict[str, ClaimCheck] = {
    "type": check_type,
    "times": check_times,
    "audience": check_audience,
    "authorized party": check_authorized_party,
    "provider": check_provider,
    "user": check_user,
}
"""Every check of a verified token, in order. Each takes the token, the rules and the time (seconds since the epoch)."""
