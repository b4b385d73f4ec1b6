"""Who are you: the recipe from an ``Authorization`` header to a ``Caller``.

Hardened by RFC 8725 (JSON Web Token Best Current Practices). Whatever is wrong with a token, its sender
is told the same; the log is told what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil
from types import MappingProxyType
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWTError
from jwt.algorithms import get_default_algorithms

from service.auth.claim_checks import (
    TokenRules,
    check_anonymity,
    check_audience,
    check_authorized_party,
    check_issuer,
    check_times,
    check_type,
    subject_of,
)
from service.auth.keys import KeySource, VerificationKey
from service.auth.refusal import Refusal, shown
from service.auth.token import UnverifiedToken, bearer_token, parse_token
from service.core.claims import Claims, has_scope
from service.core.errors import InsufficientScopeError, InvalidTokenError
from service.core.json import parse_object
from service.core.model import Caller, pseudonym

VERIFICATION_FAILURES = (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm)
"""What PyJWT and the cryptography below it raise for a signature or key that is not right."""

_ALGORITHMS = get_default_algorithms()


class ReplayGuard(Protocol):
    """Remembers which tokens were used, for all workers together."""

    def first_use(self, token_id: str, expires_at: int) -> bool:
        """Tell whether this token is new, and remember it until ``expires_at`` (seconds since the epoch).

        ``token_id`` is 64 hexadecimal digits. Telling and remembering are one step: of two requests at the
        same time exactly one is first.

        Raises:
            RateLimitStorageUnavailableError: where that cannot be known.
        """


class Authenticator:
    """Turns a bearer token into a ``Caller``.

    ``clock`` gives seconds since the epoch; ``pseudonym_key`` keys the callers' pseudonyms.
    """

    def __init__(
        self,
        *,
        keys: KeySource,
        rules: TokenRules,
        pseudonym_key: bytes,
        clock: Callable[[], float],
        replay_guard: ReplayGuard | None = None,
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._own_rules = replace(rules, provider=None)
        self._pseudonym_key = pseudonym_key
        self._clock = clock
        self._replay_guard = replay_guard

    def authenticate(self, authorization: str | None) -> Caller:
        """Tell who sent this ``Authorization`` header.

        Raises:
            MissingTokenError: there is no bearer token.
            InvalidTokenError: there is one, and it does not hold.
            InsufficientScopeError: it holds, and lacks ``JWT_REQUIRED_SCOPE``.
            IdentityProviderUnavailableError: no key set could be had yet to tell.
            RateLimitStorageUnavailableError: ``JWT_SINGLE_USE`` is on and its storage is away.
        """
        text = bearer_token(authorization)
        unverified_token = None
        try:
            unverified_token = parse_token(text)
            key, payload = self._verify_signature(unverified_token)
            claims = self._verify_claims(unverified_token.header, payload, self._rules_for(key))
            return self._admit(claims)
        except Refusal as refusal:
            raise self._invalid_token(refusal, unverified_token) from None

    def _verify_signature(self, unverified_token: UnverifiedToken) -> tuple[VerificationKey, bytes]:
        """Find the key that verifies the signature; return it with the payload it vouches for."""
        tried = False
        for key in self._keys.candidates(unverified_token.header):
            tried = True
            if verifies(key, unverified_token):
                return key, unverified_token.payload
        if tried:
            raise Refusal("bad_signature", "no key of ours verifies the signature")
        raise Refusal("unknown_key", "no key of ours fits the token's kid and alg")

    def _rules_for(self, key: VerificationKey) -> TokenRules:
        """Apply a provider's own rules to what it signs, and not to the admin's own tokens beside it."""
        provider = self._rules.provider
        is_providers = key.published or (provider is not None and provider.shares_secret)
        return self._rules if is_providers else self._own_rules

    def _verify_claims(self, header: Mapping[str, Any], payload: bytes, rules: TokenRules) -> Claims:
        try:
            claims = parse_object(payload)
        except ValueError as error:
            raise Refusal("malformed", f"the token's payload {error}") from None
        check_type(header, rules)
        check_issuer(claims, rules)
        check_times(claims, rules, self._clock())
        check_audience(claims, rules)
        check_authorized_party(claims, rules)
        if rules.provider:
            rules.provider.check(claims)
        check_anonymity(claims, rules)
        return claims

    def _admit(self, claims: Claims) -> Caller:
        """Make verified claims a caller; what is left to ask is scope and first use."""
        issuer, subject = self._rules.issuer, subject_of(claims)
        if self._rules.required_scope and not has_scope(claims, self._rules.required_scope):
            raise InsufficientScopeError(self._rules.required_scope)
        if self._replay_guard:
            self._check_first_use(claims, self._replay_guard)
        return Caller(
            issuer=issuer,
            subject=subject,
            claims=MappingProxyType(claims),
            pseudonym=pseudonym(self._pseudonym_key, issuer, subject),
        )

    def _check_first_use(self, claims: Claims, guard: ReplayGuard) -> None:
        """Refuse a ``jti`` that was used before (RFC 7519 §4.1.7: unique within its issuer)."""
        token_id = claims.get("jti")
        if not isinstance(token_id, str) or not token_id:
            raise Refusal("missing_claim", "jti is missing, which JWT_SINGLE_USE needs")
        # Known by its keyed hash: of bounded length, and the storage learns nothing of the token.
        name = pseudonym(self._pseudonym_key, self._rules.issuer, token_id)
        # Within the leeway an expired token still passes, so it is remembered for as long.
        if not guard.first_use(name, ceil(claims["exp"]) + self._rules.leeway):
            raise Refusal("replayed", "the token was used before and JWT_SINGLE_USE is on")

    def _invalid_token(self, refusal: Refusal, unverified_token: UnverifiedToken | None) -> InvalidTokenError:
        """Tell the log which check failed and which token it was, without the token."""
        seen = {"cause": refusal.cause, **refusal.seen, "expected_issuer": self._rules.issuer}
        if unverified_token:
            for name, value in unverified_token.identification.items():
                seen[name] = shown(value)
        return InvalidTokenError(refusal.reason, **seen)


def verifies(key: VerificationKey, token: UnverifiedToken) -> bool:
    """Tell whether the token's signature is this key's.

    PyJWT's algorithms verify. Its reading of the whole token is left out, since ``parse_token`` has taken it
    apart already and is stricter. The key decides which algorithms it is used with and never the token
    (RFC 8725 §3.1); that it is long enough was checked when it was loaded (RFC 7518 §3.2, §3.3).
    """
    name = token.header["alg"]
    if name not in key.algorithms:
        return False
    try:
        return _ALGORITHMS[name].verify(token.signing_input, key.key, token.signature)
    except VERIFICATION_FAILURES:
        return False
