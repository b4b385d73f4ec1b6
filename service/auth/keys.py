"""Load the keys that verify a signature, each bound to the algorithms of its kind.

The algorithm follows from the key and never from the token (RFC 8725 §3.1): an HMAC secret verifies
HS256 only, and a public key can never be taken for an HMAC secret.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from jwt import InvalidKeyError
from jwt.algorithms import HMACAlgorithm

MIN_SECRET_BYTES = 32
"""An HS256 key is as long as its hash (RFC 7518 §3.2)."""

MIN_RSA_BITS = 2048
"""RFC 7518 §3.3."""

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
EDDSA_ALGORITHMS = ("EdDSA", "Ed25519")
"""RFC 8037 §3.1, and the fully specified name of the same algorithm in RFC 9864 §2.2."""

PUBLIC_KEY_ALGORITHMS = (*RSA_ALGORITHMS, "ES256", "ES384", "ES512", *EDDSA_ALGORITHMS)

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_CURVES: dict[type, str] = {SECP256R1: "ES256", SECP384R1: "ES384", SECP521R1: "ES512"}
_PEM = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----(?P<body>.*?)-----END (?P=label)-----", re.DOTALL)
_PEM_LINE = 64
_KEEP_PRIVATE = ", which signs and must stay with the issuer; put its public key here (openssl pkey -pubout)"
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key with the only algorithms it may be used with.

    One that is too weak, or paired with an algorithm of another kind of key, cannot be made (``ValueError``).
    """

    key: PublicKey | bytes = field(repr=False)
    algorithms: tuple[str, ...]
    key_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse a key without algorithms: the verifier relies on them."""
        if not set(self.algorithms) <= set(supported_algorithms(self.key)):
            raise ValueError("is paired with an algorithm of another kind of key")


class KeySource(Protocol):
    """Where verification keys come from: the environment, or an identity provider."""

    def candidates(self, header: Mapping[str, Any]) -> Iterable[VerificationKey]:
        """Yield the keys that may have signed a token with this (unverified) header; none, if unknown.

        Raises:
            IdentityProviderUnavailableError: no key set has been fetched yet.
        """

    def describe_keys(self) -> Iterable[str]:
        """Name each key that is known now, with its algorithms, for an admin."""


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """Keys that the environment holds: ``JWT_SECRET`` or ``JWT_PUBLIC_KEY`` (several, for rotation)."""

    keys: tuple[VerificationKey, ...]

    def candidates(self, header: Mapping[str, Any]) -> Iterable[VerificationKey]:
        """Return those whose kind fits the token's ``alg``."""
        return [key for key in self.keys if header.get("alg") in key.algorithms]

    def describe_keys(self) -> Iterable[str]:
        """Name each key by its kind; it has no id."""
        return [f"a configured key ({'/'.join(key.algorithms)})" for key in self.keys]


def supported_algorithms(key: PublicKey | bytes) -> tuple[str, ...]:
    """List the algorithms that a key verifies (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2).

    Raises:
        ValueError: the key is too weak or its curve is not supported.
    """
    if isinstance(key, bytes):
        if len(key) < MIN_SECRET_BYTES:
            raise ValueError(
                f"holds a secret of {len(key)} bytes; each needs at least {MIN_SECRET_BYTES}. "
                "Make one with: openssl rand -hex 32"
            )
        try:
            HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(key)
        except InvalidKeyError:
            raise ValueError("holds a public key or a certificate; it belongs in JWT_PUBLIC_KEY") from None
        return ("HS256",)
    if isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise ValueError(f"is an RSA key of {key.key_size} bits; it needs at least {MIN_RSA_BITS}")
        return RSA_ALGORITHMS
    if isinstance(key, Ed25519PublicKey):
        return EDDSA_ALGORITHMS
    if type(key.curve) in _CURVES:
        return (_CURVES[type(key.curve)],)
    raise ValueError(f"is an EC key on {key.curve.name}; P-256, P-384 and P-521 are supported")


def load_secret(secret: str, encoding: str = "text") -> VerificationKey:
    """Make a shared secret a key. ``encoding`` is that of ``JWT_SECRET_ENCODING``: ``text`` or ``base64``.

    Raises:
        ValueError: it is not of that encoding, shorter than ``MIN_SECRET_BYTES``, or not a shared secret at all.
    """
    if "-----BEGIN" in secret:
        # A public key taken for an HMAC secret lets everybody sign (RFC 8725 §2.1).
        raise ValueError("holds a PEM key; a public key belongs in JWT_PUBLIC_KEY")
    key = secret.encode() if encoding == "text" else _decode_base64(secret)
    if key is None:
        raise ValueError("holds a secret that is not base64; write it so, or set JWT_SECRET_ENCODING=text")
    return VerificationKey(key, supported_algorithms(key))


def misread_secret(secret: str, encoding: str) -> VerificationKey | None:
    """Return the key that the other ``JWT_SECRET_ENCODING`` would make of a secret, to explain a bad signature."""
    try:
        return load_secret(secret, "text" if encoding == "base64" else "base64")
    except ValueError:
        return None


def _decode_base64(text: str) -> bytes | None:
    """Decode base64 or base64url, padded or not; ``None`` where it is neither."""
    if not _BASE64.fullmatch(text):
        return None
    bare = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except ValueError:
        return None


def load_public_keys(text: str) -> tuple[VerificationKey, ...]:
    r"""Load one or several PEM public keys or certificates, as in ``JWT_PUBLIC_KEY``.

    Line ends may be written out as ``\n`` or turned into spaces, as some hosts store them. Of a certificate only
    the key counts: it is trusted by the admin's choice, not by its issuer or its dates.

    Raises:
        ValueError: one is not a public key, of another kind, or too weak; or the text is something else.
    """
    text = text.replace("\\n", "\n").strip()
    blocks = list(_PEM.finditer(text))
    if not blocks or len(blocks) != text.count("-----BEGIN"):
        raise ValueError(_describe_unreadable(text))
    keys = []
    for number, block in enumerate(blocks, start=1):
        try:
            key = _load_pem(block["label"], "".join(block["body"].split()))
            keys.append(VerificationKey(key, supported_algorithms(key)))
        except ValueError as error:
            prefix = f"PEM {number} of {len(blocks)} " if len(blocks) > 1 else ""
            raise ValueError(f"{prefix}{error}") from None
    return tuple(keys)


def _load_pem(label: str, body: str) -> PublicKey:
    if "PRIVATE KEY" in label:
        raise ValueError(f"is a private key{_KEEP_PRIVATE}")
    lines = [body[start : start + _PEM_LINE] for start in range(0, len(body), _PEM_LINE)]
    pem = "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()
    try:
        if label == "CERTIFICATE":
            key: object = load_pem_x509_certificate(pem).public_key()
        else:
            key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is not a PEM public key (-----BEGIN PUBLIC KEY-----) or certificate") from None
    if not isinstance(key, PublicKey):
        raise ValueError("is of another kind than RSA, EC or Ed25519")  # noqa: TRY004 - a wrong value
    return key


def _describe_unreadable(text: str) -> str:
    """Name what stands where PEM should; never repeat it, since it may be secret."""
    described = (words for pattern, words in _OTHER_FORMS if re.match(pattern, text))
    right = "the PEM text itself is expected (-----BEGIN PUBLIC KEY----- … -----END PUBLIC KEY-----)"
    return f"{next(described, 'is not a PEM public key')}; {right}"


_OTHER_FORMS = (
    (r"(?s).*-----BEGIN [A-Z ]*PRIVATE KEY-----", f"is a private key{_KEEP_PRIVATE}"),
    (r"(?s).*-----BEGIN", "holds a PEM that is cut off, its END line missing"),
    (r"\{", "is a JWK (JSON); convert it to PEM, or serve a set of JWKs at JWT_JWKS_URL"),
    (r"ssh-|ecdsa-sha2-", "is an OpenSSH key; convert it with: ssh-keygen -e -m PKCS8 -f key.pub"),
    (r"https?://", "is a URL; that of a key set belongs in JWT_JWKS_URL"),
    (
        r"\.{0,2}/|~|[A-Za-z]:\\|\S+\.(pem|key|crt|cer|pub|txt)$",
        "is the path of a file; set it to the file's content",
    ),
    (r"MI[A-Za-z0-9+/]{20}", "lacks the first and last line of a PEM"),
)
