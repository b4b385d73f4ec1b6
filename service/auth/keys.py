"""Keys that verify a signature, and the algorithms that each kind of key is good for.

The algorithm follows from the key and never from the token (RFC 8725 §3.1): an HMAC secret verifies
HS256 only, and a public key can never be taken for an HMAC secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

MIN_SECRET_BYTES = 32
"""An HS256 key is as long as its hash (RFC 7518 §3.2)."""

MIN_RSA_BITS = 2048
"""RFC 7518 §3.3."""

PUBLIC_KEY_ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key with the only algorithms it may be used with.

    ``published`` tells a key that an identity provider publishes from one that the admin configured. One that is
    too weak, or paired with an algorithm of another kind of key, cannot be made (``ValueError``).
    """

    key: PublicKey | bytes = field(repr=False)
    algorithms: tuple[str, ...]
    key_id: str | None = None
    published: bool = False

    def __post_init__(self) -> None:
        """Hold the promise that whoever verifies with this key relies on."""
        if not set(self.algorithms) <= set(algorithms_of(self.key)):
            raise ValueError("is paired with an algorithm of another kind of key")


class KeySource(Protocol):
    """Where verification keys come from: the environment, or an identity provider."""

    def candidates(self, header: Mapping[str, Any]) -> Iterable[VerificationKey]:
        """Yield the keys that may have signed a token with this (unverified) header; none, if unknown.

        Raises:
            IdentityProviderUnavailableError: where no key set could be had yet.
        """


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """Keys that the environment names: ``JWT_SECRET`` (several, for rotation) and ``JWT_PUBLIC_KEY``."""

    keys: tuple[VerificationKey, ...]

    def candidates(self, header: Mapping[str, Any]) -> Iterable[VerificationKey]:
        """Return those whose kind fits the token's ``alg``."""
        return [key for key in self.keys if header.get("alg") in key.algorithms]


@dataclass(frozen=True, slots=True)
class CombinedKeys:
    """Several sources, where ``JWT_ALLOW_MULTIPLE`` permits them; put the static ones first.

    A later source is asked only once the earlier ones' keys have failed, so a token that a configured key
    verifies never waits for an identity provider.
    """

    sources: tuple[KeySource, ...]

    def candidates(self, header: Mapping[str, Any]) -> Iterator[VerificationKey]:
        """Yield each source's candidates in turn."""
        for source in self.sources:
            yield from source.candidates(header)


def secret_key(secret: str) -> VerificationKey:
    """Make a shared secret a key.

    Raises:
        ValueError: where it is shorter than ``MIN_SECRET_BYTES``, or not a shared secret at all.
    """
    if "-----BEGIN" in secret:
        # A public key taken for an HMAC secret lets everybody sign (RFC 8725 §2.1).
        raise ValueError("holds a PEM key; a public key belongs in JWT_PUBLIC_KEY")
    key = secret.encode()
    return VerificationKey(key, algorithms_of(key))


def public_key(pem: str) -> VerificationKey:
    r"""Load a PEM public key; ``\n`` written out, as some hosts store it, is understood.

    Raises:
        ValueError: where it is no public key, of another kind, or too weak.
    """
    try:
        key = load_pem_public_key(pem.replace("\\n", "\n").strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is not a PEM public key (-----BEGIN PUBLIC KEY-----)") from None
    if not isinstance(key, PublicKey):
        raise ValueError("is of another kind than RSA, EC or Ed25519")  # noqa: TRY004 - a wrong value
    return VerificationKey(key, algorithms_of(key))


def algorithms_of(key: PublicKey | bytes) -> tuple[str, ...]:
    """Say which algorithms a key verifies (RFC 7518 §3.1, RFC 8037 §3.1).

    Raises:
        ValueError: where the key is too weak or its curve is not supported.
    """
    if isinstance(key, bytes):
        if len(key) < MIN_SECRET_BYTES:
            raise ValueError(
                f"holds a secret of {len(key)} bytes; each needs at least {MIN_SECRET_BYTES}. "
                "Make one with: openssl rand -hex 32"
            )
        return ("HS256",)
    if isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise ValueError(f"is an RSA key of {key.key_size} bits; it needs at least {MIN_RSA_BITS}")
        return ("RS256", "PS256")
    if isinstance(key, Ed25519PublicKey):
        return ("EdDSA",)
    if isinstance(key.curve, SECP256R1):
        return ("ES256",)
    if isinstance(key.curve, SECP384R1):
        return ("ES384",)
    raise ValueError(f"is an EC key on {key.curve.name}; P-256 and P-384 are supported")
