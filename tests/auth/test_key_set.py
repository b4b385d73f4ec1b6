"""Which entries of a key set may verify tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from service.auth.key_set import MAX_CANDIDATES, KeySet, KeySetError, parse_key_set
from service.auth.keys import PUBLIC_KEY_ALGORITHMS, RSA_ALGORITHMS
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
    """And for no other of its kind; ``EdDSA`` and ``Ed25519`` name the same one."""
    (key,) = parse(Signer(algorithm).jwk()).keys
    expected = ("EdDSA", "Ed25519") if algorithm in {"EdDSA", "Ed25519"} else (algorithm,)
    assert (key.algorithms, key.key_id) == (expected, "key-1")


def test_a_key_that_names_none_is_good_for_its_kinds() -> None:
    """``alg`` is optional (RFC 7517 §4.4), as are ``use`` and ``kid``."""
    (key,) = parse(RSA.jwk(alg=None, use=None, kid=None)).keys
    assert (key.algorithms, key.key_id) == (RSA_ALGORITHMS, None)


@pytest.mark.parametrize(
    "entry",
    [
        RSA.jwk(use="enc"),
        RSA.jwk(key_ops=["encrypt"]),
        RSA.jwk(key_ops="verify"),
        RSA.jwk(alg="RSA-OAEP"),
        RSA.jwk(alg="HS256"),
        RSA.jwk(alg="none"),
        RSA.jwk(alg="ES256"),
        RSA.jwk(alg=1),
        RSA.jwk(d="AQAB"),
        RSA.jwk(use="signature"),
        RSA.jwk(use=["sig"]),
        RSA.jwk(use="SIG"),
        RSA.jwk(key_ops=["Verify"]),
        RSA.jwk(key_ops={"verify": True}),
        {"kty": "RSA", "kid": "certificates only", "use": "sig", "x5c": ["MIIC+DCCAeCgAwIBAgIJBIGjYW6hFpn2"]},
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
    assert [key.algorithms for key in keys.named({"alg": "ES256", "kid": "key-1"})] == [("ES256",)]


@pytest.mark.parametrize("member", ["alg", "use", "kid", "key_ops", "x5c", "x5t", "d", "oth"])
def test_a_member_that_is_null_counts_as_absent(member: str) -> None:
    """Some libraries write out every member they know; the key is as good as without."""
    without = {name: value for name, value in RSA.jwk().items() if name != member}
    assert [key.key_id for key in parse({**without, member: None}).keys] == [without.get("kid")]


def test_a_token_without_kid_finds_every_key_that_fits() -> None:
    """Of its algorithm; and no more than a bounded number, since each costs a verification."""
    keys = parse(RSA.jwk(), Signer("ES256").jwk(), *(RSA.jwk(kid=f"{number}") for number in range(20)))
    assert [key.key_id for key in keys.named({"alg": "ES256"})] == ["key-1"]
    assert len(keys.named({"alg": "RS256"})) == MAX_CANDIDATES
    assert not keys.lacks({"alg": "RS256"})


def test_a_kid_is_looked_up_among_keys_with_one_before_keys_without() -> None:
    """A provider that publishes a single key often leaves its ``kid`` out, and not that of its tokens."""
    keys = parse(RSA.jwk(), RSA.jwk(kid=None), Signer("ES256").jwk(kid=None))
    assert [key.key_id for key in keys.named({"alg": "RS256", "kid": "rsa"})] == ["rsa"]
    assert [key.algorithms for key in keys.unnamed({"alg": "RS256", "kid": "other"})] == [("RS256",)]


def test_only_an_unknown_kid_is_worth_another_look() -> None:
    """A known kid under another algorithm is a forgery, not a rotation."""
    keys = parse(RSA.jwk())
    assert keys.lacks({"alg": "RS256", "kid": "new"})
    assert not keys.lacks({"alg": "ES256", "kid": "rsa"})
    assert not keys.named({"alg": "ES256", "kid": "rsa"})
