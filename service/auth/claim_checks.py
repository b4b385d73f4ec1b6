"""What a verified token must say: one small rule per claim, each refusing with its reason.

PyJWT verifies the signature; its checks of claims are not used, since they read ``exp`` from strings,
keep their own clock and know no upper bound (RFC 8725 §3.10: do not trust received claims).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.auth.providers import Provider
from service.auth.refusal import Refusal, shown
from service.core.claims import Claims

MAX_SUBJECT_CHARACTERS = 255
"""OpenID Connect Core §2 bounds ``sub`` so."""

_LATEST_DATE = 2**53
"""Beyond it a JSON number is no longer exact, and no calendar reaches there."""

_TOKEN_TYPES = ("jwt", "at+jwt")


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What the admin and the identity provider's preset demand of a token.

    ``max_lifetime`` and ``leeway`` are in seconds. ``audience`` is ``None`` only for a provider whose
    tokens carry none. An empty ``authorized_parties`` means any.
    """

    issuer: str
    audience: str | None
    required_scope: str | None
    max_lifetime: int
    leeway: int
    authorized_parties: tuple[str, ...]
    allow_anonymous: bool
    provider: Provider | None


def check_type(header: Mapping[str, Any], rules: TokenRules) -> None:
    """Take only tokens that are typed as access or identity tokens (RFC 8725 §3.11, RFC 9068 §2.1).

    The same issuer may sign DPoP proofs, logout tokens and security events with the same key.
    """
    if "typ" not in header:
        if rules.provider and rules.provider.sets_type:
            raise Refusal("wrong_type", f"typ is missing, which {rules.provider.name} always sets")
        return
    kind = header["typ"].lower().removeprefix("application/")
    if kind not in _TOKEN_TYPES:
        raise Refusal("wrong_type", "typ is neither JWT nor at+jwt", typ=shown(header["typ"]))


def check_times(claims: Claims, rules: TokenRules, now: float) -> None:
    """Check ``exp`` (required), ``nbf`` and ``iat``, and that the token does not live too long."""
    expires = numeric_date(claims, "exp")
    issued = numeric_date(claims, "iat")
    not_before = numeric_date(claims, "nbf")
    if expires is None:
        raise Refusal("missing_claim", "exp is missing")
    if expires <= now - rules.leeway:
        raise Refusal("expired", f"the token expired {now - expires:.0f} s ago")
    if issued is not None and issued > now + rules.leeway:
        raise Refusal("not_yet_valid", f"iat is {issued - now:.0f} s ahead of our clock")
    if not_before is not None and not_before > now + rules.leeway:
        raise Refusal("not_yet_valid", f"nbf is {not_before - now:.0f} s ahead of our clock")
    lifetime = expires - (now if issued is None else issued)
    if lifetime > rules.max_lifetime:
        raise Refusal(
            "lives_too_long",
            f"the token lives {lifetime:.0f} s, JWT_MAX_LIFETIME is {rules.max_lifetime}",
        )


def numeric_date(claims: Claims, name: str) -> float | None:
    """Read a NumericDate in seconds since the epoch (RFC 7519 §2); ``None`` where it is absent.

    Raises:
        Refusal: where it is no number (a string, a boolean) or no date (``1e300``).
    """
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal("wrong_claim_type", f"{name} is not a number", got=type(value).__name__)
    if not 0 <= value < _LATEST_DATE:  # false for NaN as well
        raise Refusal("wrong_claim_type", f"{name} is not a date")
    return value


def check_issuer(claims: Claims, rules: TokenRules) -> None:
    """``iss`` is compared exactly, slash at the end included (RFC 8725 §3.8)."""
    if claims.get("iss") != rules.issuer:
        raise Refusal("wrong_issuer", "iss is not the issuer we expect")


def check_audience(claims: Claims, rules: TokenRules) -> None:
    """Require our audience in ``aud``, or where the provider puts it instead (RFC 7519 §4.1.3)."""
    found = rules.provider.audience_of(claims) if rules.provider else claims.get("aud")
    audiences = [found] if isinstance(found, str) else found
    if audiences is None and rules.audience is None:
        return
    if audiences is None:
        raise Refusal("missing_claim", "aud is missing", expected_audience=rules.audience)
    if not isinstance(audiences, list) or not all(isinstance(audience, str) for audience in audiences):
        raise Refusal("wrong_claim_type", "aud is neither a string nor a list of strings")
    if rules.audience not in audiences:
        raise Refusal(
            "wrong_audience",
            "aud does not name us",
            audience=shown(" ".join(audiences)),
            expected_audience=rules.audience,
        )


def check_authorized_party(claims: Claims, rules: TokenRules) -> None:
    """``azp``, where the token has one, is among ``JWT_AUTHORIZED_PARTIES``, where that is set."""
    party = claims.get("azp")
    if party is not None and rules.authorized_parties and party not in rules.authorized_parties:
        raise Refusal("wrong_party", "azp is not among JWT_AUTHORIZED_PARTIES", azp=shown(party))


def check_anonymity(claims: Claims, rules: TokenRules) -> None:
    """Refuse users without an account, unless ``ALLOW_ANONYMOUS_USERS`` welcomes them."""
    if rules.provider and rules.provider.is_anonymous(claims) and not rules.allow_anonymous:
        raise Refusal("anonymous", "the user signed in anonymously, and ALLOW_ANONYMOUS_USERS is off")


def subject_of(claims: Claims) -> str:
    """Read ``sub``: a string that names somebody.

    A blank one would put all such users into one limit, and an invisible one is blank to a person.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str):
        raise Refusal("bad_subject", "sub is not a string", got=type(subject).__name__)
    if not subject.strip() or not subject.isprintable() or len(subject) > MAX_SUBJECT_CHARACTERS:
        raise Refusal("bad_subject", "sub is blank, unprintable or too long")
    return subject
