"""Which entries of a key set may verify tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from service.auth.key_set import KeySet, KeySetError, parse_key_set
from service.auth.keys import PUBLIC_KEY_ALGORITHMS
from tests.support.identity_provider import KINDS, Signer, base64url, private_key

RSA = Signer("RS256", key_id="rsa")
WEAK = json.loads(RSAAlgorithm.to_jwk(private_key("RSA-1024").public_key()))
ED448 = json.loads(OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key()))


def private_jwk(signer: Signer) -> dict[str, Any]:
    """Publish what should never be."""
    algorithm = get_default_algorithms()[signer.algorithm]
    return {**json.loads(algorithm.to_jwk(signer.private)), "kid": "private", "key_ops": ["verify"]}


def parse(*entries: Any, algorithms: tuple[str, ...] = PUBLIC_KEY_ALGORITHMS) -> KeySet:
    """Read a set of these entries."""
    return parse_key_set(json.dumps({"keys": entries}).encode(), algorithms)


@pytest.mark.parametrize("algorithm", KINDS)
def test_a_key_is_good_for_the_algorithm_it_names(algorithm: str) -> None:
    """And for no other of its kind."""
    (key,) = parse(Signer(algorithm).jwk()).keys
    assert (key.algorithms, key.key_id, key.published) == ((algorithm,), "key-1", True)


def test_a_key_that_names_none_is_good_for_its_kinds() -> None:
    """``alg`` is optional (RFC 7517 §4.4), as are ``use`` and ``kid``."""
    (key,) = parse(RSA.jwk(alg=None, use=None, kid=None)).keys
    assert (key.algorithms, key.key_id) == (("RS256", "PS256"), None)


@pytest.mark.parametrize(
    "entry",
    [
        RSA.jwk(use="enc"),
        RSA.jwk(key_ops=["encrypt"]),
        RSA.jwk(key_ops="verify"),
        RSA.jwk(alg="RSA-OAEP"),
        RSA.jwk(alg="RS512"),
        RSA.jwk(alg="HS256"),
        RSA.jwk(alg="none"),
        RSA.jwk(alg="ES256"),
        RSA.jwk(alg=1),
        RSA.jwk(d="AQAB"),
        *(private_jwk(signer) for signer in (RSA, Signer("ES256"), Signer("EdDSA"))),
        RSA.jwk(kid=7),
        RSA.jwk(n=None),
        RSA.jwk(n="!"),
        RSA.jwk(n=5),
        RSA.jwk(e="AA"),
        RSA.jwk(kty="EC"),
        RSA.jwk(kty=None),
        RSA.jwk(kty="unknown"),
        Signer("ES256").jwk(crv="P-384"),
        Signer("ES256").jwk(crv="secp256k1"),
        Signer("ES256").jwk(y=base64url(b"\x01" * 32)),
        Signer("EdDSA").jwk(x="AA"),
        {"kty": "oct", "k": base64url(b"k" * 32), "kid": "rsa", "alg": "HS256", "use": "sig"},
        {"kty": "oct", "k": base64url(b"k" * 32), "kid": "rsa", "alg": "RS256"},
        {**WEAK, "kid": "weak"},
        {**ED448, "kid": "ed448"},
        {},
        None,
        "key",
        7,
    ],
)
def test_other_entries_are_left_out(entry: Any) -> None:
    """Encryption keys, shared secrets, published private keys, weak and broken ones; the good key stays."""
    assert [key.key_id for key in parse(entry, Signer("PS256", key_id="good").jwk()).keys] == ["good"]
    with pytest.raises(KeySetError, match="none of its 1 keys"):
        parse(entry)


def test_a_preset_narrows_the_algorithms() -> None:
    """A provider that signs RS256 has no business with an EC key."""
    keys = parse(RSA.jwk(), Signer("ES256").jwk(), RSA.jwk(alg=None, kid="open"), algorithms=("RS256",)).keys
    assert [(key.key_id, key.algorithms) for key in keys] == [("rsa", ("RS256",)), ("open", ("RS256",))]


def test_entries_may_share_a_key_id() -> None:
    """RFC 7517 §4.5 allows it for keys of different kinds; the algorithm then tells them apart."""
    keys = parse(Signer("RS256").jwk(), Signer("ES256").jwk())
    assert [key.algorithms for key in keys.candidates({"alg": "ES256", "kid": "key-1"})] == [("ES256",)]


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ((), 1),
        ((RSA.jwk(use="enc", kid="enc"),), 1),
        (({"kty": "oct", "k": "AAAA"},), 1),
        ((Signer("ES256").jwk(),), 0),
        ((RSA.jwk(alg="RS512", kid="other"),), 0),
    ],
)
def test_a_token_without_kid_finds_the_only_signature_key(others: tuple[Any, ...], found: int) -> None:
    """A signature key that we cannot use may still be the one that signed, so it counts."""
    keys = parse(RSA.jwk(), *others)
    assert len(keys.candidates({"alg": "RS256"})) == found
    assert not keys.lacks({"alg": "RS256"})


def test_only_an_unknown_kid_is_worth_another_look() -> None:
    """A known kid under another algorithm is a forgery, not a rotation."""
    keys = parse(RSA.jwk())
    assert keys.lacks({"alg": "RS256", "kid": "new"})
    assert not keys.lacks({"alg": "ES256", "kid": "rsa"})
    assert not keys.candidates({"alg": "ES256", "kid": "rsa"})
