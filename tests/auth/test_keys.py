"""Keys from the environment: what is too weak, or of the wrong kind, stops the start."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ed448
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from service.auth.keys import load_public_keys, load_secret
from tests.support.identity_provider import private_key
from tests.support.public_keys import certificate, pem


@pytest.mark.parametrize("secret", ["", "short", "x" * 31])
def test_a_short_secret_is_refused_without_being_shown(secret: str) -> None:
    """RFC 7518 §3.2: an HS256 key is at least as long as its hash."""
    with pytest.raises(ValueError, match="at least 32") as refused:
        load_secret(secret)
    assert not secret or secret not in str(refused.value)


def test_a_public_key_is_no_shared_secret() -> None:
    """Everybody knows it, so everybody could sign (RFC 8725 §2.1)."""
    with pytest.raises(ValueError, match="JWT_PUBLIC_KEY"):
        load_secret(pem(private_key("RSA").public_key()))


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        ("RSA", ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        ("P-256", ("ES256",)),
        ("P-384", ("ES384",)),
        ("P-521", ("ES512",)),
        ("Ed25519", ("EdDSA", "Ed25519")),
    ],
)
def test_the_algorithms_follow_from_the_kind_of_key(kind: str, algorithms: tuple[str, ...]) -> None:
    """RFC 8725 §3.1: and so never from the token."""
    (key,) = load_public_keys(pem(private_key(kind).public_key()))
    assert key.algorithms == algorithms


@pytest.mark.parametrize("kind", ["RSA-1024", "secp256k1"])
def test_weak_and_unsupported_keys_are_refused(kind: str) -> None:
    """RFC 7518 §3.3: RSA from 2048 bits on."""
    with pytest.raises(ValueError, match=r"needs at least|are supported"):
        load_public_keys(pem(private_key(kind).public_key()))


def test_other_kinds_of_key_are_refused() -> None:
    """DSA and Ed448 are public keys too, of no algorithm we verify."""
    for key in (dsa.generate_private_key(2048), ed448.Ed448PrivateKey.generate()):
        with pytest.raises(ValueError, match="another kind"):
            load_public_keys(pem(key.public_key()))


@pytest.mark.parametrize(
    "text", ["", "secret", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "\x00"]
)
def test_what_is_no_pem_is_refused(text: str) -> None:
    """With the form to use."""
    with pytest.raises(ValueError, match="BEGIN PUBLIC KEY"):
        load_public_keys(text)


RSA, EC = pem(private_key("RSA").public_key()), pem(private_key("P-256").public_key())
PRIVATE = (
    private_key("RSA").private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
)
ENCRYPTED = (
    private_key("RSA")
    .private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"p"))
    .decode()
)


@pytest.mark.parametrize(
    "text",
    [
        RSA + EC,
        f"{RSA}\n\n  {EC}",
        (RSA + EC).replace("\n", "\\n"),
        (RSA + EC).replace("\n", " "),
        (RSA + EC).replace("\n", "\r\n"),
        f"new:\n{RSA}old:\n{EC}",
        certificate("RSA") + EC,
        RSA + certificate("P-256"),
    ],
)
def test_several_public_keys_and_certificates_stand_one_after_the_other(text: str) -> None:
    """To rotate, in every form in which hosts store line ends."""
    first, second = load_public_keys(text)
    assert (first.algorithms[0], second.algorithms) == ("RS256", ("ES256",))


def test_one_bad_key_of_several_is_told_by_its_place() -> None:
    """And nothing starts without it."""
    with pytest.raises(ValueError, match=r"PEM 2 of 2 is an RSA key of 1024 bits"):
        load_public_keys(RSA + pem(private_key("RSA-1024").public_key()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PRIVATE, "private key"),
        (RSA + PRIVATE, "private key"),
        (ENCRYPTED, "private key"),
        (PRIVATE.replace("\n", "\\n"), "private key"),
        ("/etc/keys/jwt.pem", "path of a file"),
        ("./jwt.pem", "path of a file"),
        ("jwt-public.pem", "path of a file"),
        (r"C:\keys\jwt.pem", "path of a file"),
        ('{"kty": "RSA", "n": "0vx7"}', "JWK"),
        ("ssh-rsa AAAAB3NzaC1yc2E ada@example", "OpenSSH"),
        ("https://issuer.test/keys", "JWT_JWKS_URL"),
        (RSA.split("-----END", maxsplit=1)[0], "cut off"),
        ("".join(RSA.splitlines()[1:-1]), "lacks the first and last line"),
        ("a word", "BEGIN PUBLIC KEY"),
    ],
)
def test_what_stands_in_place_of_a_public_key_is_named(text: str, words: str) -> None:
    """And never repeated: it may be a secret."""
    with pytest.raises(ValueError, match=words) as refused:
        load_public_keys(text)
    assert text[:40] not in str(refused.value)
