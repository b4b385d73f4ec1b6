"""Authenticate a request: from its ``Authorization`` header to a ``Caller``.

Hardened by RFC 8725 (JSON Web Token Best Current Practices). Whatever is wrong with a token, its sender
is told the same; the log is told what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType

from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWTError
from jwt.algorithms import HMACAlgorithm, OKPAlgorithm
from jwt.api_jws import PyJWS
from jwt.utils import force_bytes

from service.auth.claim_checks import CLAIM_CHECKS, TokenRules, read_subject
from service.auth.jwks import JwksKeys
from service.auth.keys import PUBLIC_KEY_ALGORITHMS, KeySource, VerificationKey
from service.auth.single_use import SingleUse
from service.auth.token import (
    ParsedToken,
    TokenRejectedError,
    bearer_token,
    parse_token,
    sanitize_for_log,
)
from service.core.claims import has_scope
from service.core.errors import InsufficientScopeError, InvalidTokenError
from service.core.model import Caller, pseudonym

VERIFICATION_FAILURES = (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm)
"""What PyJWT and the cryptography below it raise for a signature or key that is not right."""


class MissingScopeError(InsufficientScopeError):
    """A good token lacks ``JWT_REQUIRED_SCOPE``; ``caller`` is who sent it."""

    def __init__(self, scope: str, caller: Caller) -> None:
        super().__init__(scope)
        self.caller = caller


class LoadedSecretAlgorithm(HMACAlgorithm):
    """HS256 without PyJWT's look at the secret for every token, which takes longer than the signature.

    ``keys.supported_algorithms`` made that check when the secret was loaded.
    """

    def prepare_key(self, key: str | bytes) -> bytes:
        """Take the secret as it is."""
        return force_bytes(key)


# An own instance: PyJWT's module-level one is shared with whoever registers or removes algorithms there.
_VERIFIER = PyJWS(algorithms=PUBLIC_KEY_ALGORITHMS)
_VERIFIER.register_algorithm("HS256", LoadedSecretAlgorithm(LoadedSecretAlgorithm.SHA256))
_VERIFIER.register_algorithm("Ed25519", OKPAlgorithm())  # RFC 9864 §2.2: EdDSA, fully specified


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """Keys, and the rules for tokens that they sign: they are trusted for ``rules.issuers`` only."""

    keys: KeySource
    rules: TokenRules


class Authenticator:
    """Turns a bearer token into a ``Caller``.

    ``trusted`` is tried in order, so static keys come first: a token that one of them verifies never waits for an
    identity provider. ``clock`` gives seconds since the epoch; ``pseudonym_key`` keys the callers' pseudonyms.
    ``misread_keys`` admit nothing: a signature that is one of theirs is explained in the log.
    """

    def __init__(
        self,
        trusted: Sequence[TrustedIssuer],
        *,
        pseudonym_key: bytes,
        clock: Callable[[], float],
        single_use: SingleUse | None = None,
        misread_keys: Sequence[VerificationKey] = (),
    ) -> None:
        self.trusted = tuple(trusted)
        self._issuers = tuple(dict.fromkeys(name for each in trusted for name in each.rules.issuers))
        self._pseudonym_key = pseudonym_key
        self._clock = clock
        self._single_use = single_use
        self._misread_keys = tuple(misread_keys)

    @property
    def key_sets(self) -> tuple[JwksKeys, ...]:
        """The key sets that are fetched, for probes."""
        return tuple(each.keys for each in self.trusted if isinstance(each.keys, JwksKeys))

    def authenticate(self, authorization: str | None, *, use_up: bool = True) -> Caller:
        """Identify the caller who sent this ``Authorization`` header.

        ``use_up`` is false for requests that do not use up a token under ``JWT_SINGLE_USE``.

        Raises:
            MissingTokenError: there is no bearer token.
            RequestHeaderFieldsTooLargeError: it is too long.
            InvalidTokenError: it is not accepted.
            MissingScopeError: it is good, and lacks ``JWT_REQUIRED_SCOPE``.
            IdentityProviderUnavailableError: no key set has been fetched yet.
            RateLimitStorageUnavailableError: ``JWT_SINGLE_USE`` is on and its storage is unavailable.
        """
        text = bearer_token(authorization)
        token = None
        try:
            token = parse_token(text)
            rules, now = self.verify_signature(token).rules, self._clock()
            for check in CLAIM_CHECKS.values():
                check(token, rules, now)
            return self._admit(token, rules, self._single_use if use_up else None)
        except TokenRejectedError as error:
            raise self._invalid_token(error, token) from None

    def verify_signature(self, token: ParsedToken) -> TrustedIssuer:
        """Return the trusted issuer one of whose keys verifies the signature.

        Only keys that are trusted for the token's ``iss`` are tried (RFC 8725 §3.8).

        Raises:
            TokenRejectedError: there is none.
        """
        if token.issuer not in self._issuers:
            raise TokenRejectedError("wrong_issuer", "iss is not an accepted issuer")
        tried = False
        for trusted in self.trusted:
            if token.issuer not in trusted.rules.issuers:
                continue
            for key in trusted.keys.candidates(token.header):
                tried = True
                if verifies(key, token):
                    return trusted
        if any(verifies(key, token) for key in self._misread_keys):
            raise TokenRejectedError(
                "bad_signature",
                "no configured key matches the signature, but JWT_SECRET does when read in the other encoding: "
                "change JWT_SECRET_ENCODING (text: used as it is; base64: decoded first)",
            )
        if tried:
            raise TokenRejectedError("bad_signature", "no configured key matches the signature")
        raise TokenRejectedError("unknown_key", "no configured key matches the token's kid and alg")

    def _admit(self, token: ParsedToken, rules: TokenRules, single_use: SingleUse | None) -> Caller:
        """Make verified claims a caller; scope and first use are checked last."""
        has_one_namespace = rules.provider is not None and rules.provider.one_namespace
        issuer = rules.issuers[0] if has_one_namespace else token.issuer or ""
        subject = read_subject(token.claims, rules.user_claim)
        caller = Caller(
            issuer=issuer,
            subject=subject,
            claims=MappingProxyType(token.claims),
            pseudonym=pseudonym(self._pseudonym_key, issuer, subject),
        )
        if rules.required_scope and not has_scope(token.claims, rules.required_scope):
            raise MissingScopeError(rules.required_scope, caller)
        if single_use:
            self._check_first_use(token, issuer, rules, single_use)
        return caller

    def _check_first_use(
        self, token: ParsedToken, issuer: str, rules: TokenRules, single_use: SingleUse
    ) -> None:
        """Refuse a ``jti`` that was used before (RFC 7519 §4.1.7: unique within its issuer)."""
        token_id = read_token_id(token)
        # Known by its keyed hash: of bounded length, and the storage learns nothing of the token.
        name = pseudonym(self._pseudonym_key, issuer, token_id)
        # Within the leeway an expired token is still accepted, so it is remembered for as long.
        if not single_use.first_use(name, ceil(token.claims["exp"]) + rules.leeway):
            raise TokenRejectedError("replayed", "the token was used before and JWT_SINGLE_USE is on")

    @property
    def wants_single_use(self) -> bool:
        """Whether a token is used up by a mint or an opening (``JWT_SINGLE_USE``)."""
        return self._single_use is not None

    def _invalid_token(self, error: TokenRejectedError, token: ParsedToken | None) -> InvalidTokenError:
        """Tell the log which check failed and which token it was, without the token."""
        seen = {
            "cause": error.cause,
            **error.seen,
            "expected_issuer": sanitize_for_log(" ".join(self._issuers)),
        }
        if token:
            seen |= token.identification
        return InvalidTokenError(error.reason, **seen)


def read_token_id(token: ParsedToken) -> str:
    """Return the ``jti`` of a token that may be used once.

    Raises:
        TokenRejectedError: it has none.
    """
    token_id = token.claims.get("jti")
    if not isinstance(token_id, str) or not token_id:
        raise TokenRejectedError("missing_claim", "jti is missing, which JWT_SINGLE_USE needs")
    return token_id


def verifies(key: VerificationKey, token: ParsedToken) -> bool:
    """Return whether the token's signature is this key's.

    The key decides which algorithms it is used with and never the token (RFC 8725 §3.1).
    """
    try:
        _VERIFIER.decode_complete(
            token.text,
            key=key.key,
            # Never empty, or PyJWT would raise; never taken from the header, or an attacker would choose.
            algorithms=key.algorithms,
            options={
                # Without it PyJWT only decodes.
                "verify_signature": True,
                # PyJWT's default is a warning (RFC 7518 §3.2, §3.3). Keys are checked when they are loaded, too.
                "enforce_minimum_key_length": True,
            },
            # The payload is the token's own: ``b64`` and ``crit`` were refused before (RFC 7797).
            detached_payload=None,
        )
    except VERIFICATION_FAILURES:
        return False
    return True
