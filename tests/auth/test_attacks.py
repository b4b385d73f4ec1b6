"""Attacks on JWT verifiers, by name: from RFC 8725, from published CVEs, and after Project Wycheproof.

Wycheproof's own vectors are in no package registry that this project can reach, so what they exercise is
built here: every mutation of its JSON web signature file, for every algorithm we verify.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.auth.key_set import KeySet, parse_key_set
from service.auth.keys import KeySource, StaticKeys, VerificationKey, load_secret
from tests.support.authentication import SECRET, SignIn, claims, sign_in
from tests.support.identity_provider import KINDS, Signer, base64url, private_key, sign_hs256

ALGORITHMS = ["HS256", *KINDS]


def good_token(algorithm: str) -> str:
    """Sign a good token under the algorithm's own key."""
    if algorithm == "HS256":
        return sign_hs256(claims(), SECRET, kid="key-1")
    return Signer(algorithm).sign(claims())


def sign_in_for(algorithm: str) -> SignIn:
    """Open to just this algorithm's key."""
    key = load_secret(SECRET) if algorithm == "HS256" else Signer(algorithm).verification_key
    return sign_in(StaticKeys((key,)))


class PublishedKeys:
    """A key set without its HTTP, for what matters once it is loaded."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.key_set: KeySet = parse_key_set(json.dumps({"keys": keys}).encode(), tuple(KINDS))

    def candidates(self, header: Any) -> Any:
        return [*self.key_set.named(header), *self.key_set.unnamed(header)]


def flip_first(text: str) -> str:
    """Change the first character."""
    return ("X" if text[0] != "X" else "Y") + text[1:]


MUTATIONS: dict[str, Callable[[str, str, str], str]] = {
    "modified signature": lambda h, p, s: f"{h}.{p}.{flip_first(s)}",
    "missing signature": lambda h, p, _: f"{h}.{p}.",
    "missing signature and separator": lambda h, p, _: f"{h}.{p}",
    "modified payload": lambda h, p, s: f"{h}.{flip_first(p)}.{s}",
    "missing payload": lambda h, _, s: f"{h}..{s}",
    "missing payload and separator": lambda h, _, s: f"{h}.{s}",
    "modified header": lambda h, p, s: f"{h[:-4]}{flip_first(h[-4:])}.{p}.{s}",
    "missing header": lambda _, p, s: f".{p}.{s}",
    "missing header and separator": lambda _, p, s: f"{p}.{s}",
    "missing header and signature": lambda _, p, __: f".{p}.",
    "only a payload": lambda _, p, __: p,
    "extra empty component": lambda h, p, s: f"{h}.{p}.{s}.",
    "extra component": lambda h, p, s: f"{h}.{p}.{s}.foo",
    "leading separator": lambda h, p, s: f".{h}.{p}.{s}",
    "truncated signature": lambda h, p, s: f"{h}.{p}.{s[:-4]}",
    "extended signature": lambda h, p, s: f"{h}.{p}.{s}AAAA",
    "doubled signature": lambda h, p, s: f"{h}.{p}.{s}{s}",
    "zero signature": lambda h, p, s: f"{h}.{p}.{'A' * len(s)}",
    "padded signature": lambda h, p, s: f"{h}.{p}.{s}" + "=" * (-len(s) % 4 or 4),
    "white space in the signature": lambda h, p, s: f"{h}.{p}.{s[:5]} {s[5:]}",
    "line break in the payload": lambda h, p, s: f"{h}.{p[:5]}\n{p[5:]}.{s}",
    "ordinary base64": lambda h, p, s: f"{h}.{p}.{s[:-1]}+",
    "header and payload exchanged": lambda h, p, s: f"{p}.{h}.{s}",
    "JSON serialization (RFC 7515 §7.2)": lambda h, p, s: json.dumps(
        {"payload": p, "protected": h, "signature": s}
    ),
    "JWE in five parts (RFC 7516)": lambda h, p, s: f"{h}.{p}.{s}.{p}.{s}",
    "alg none, signature dropped": lambda _, p, __: base64url(b'{"alg":"none"}') + f".{p}.",
    "alg none, signature kept": lambda _, p, s: base64url(b'{"alg":"none"}') + f".{p}.{s}",
}


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_mutated_token_is_refused(algorithm: str, mutation: str) -> None:
    """Project Wycheproof's list, for each algorithm."""
    header, payload, signature = good_token(algorithm).split(".")
    sign_in_for(algorithm).rejects(MUTATIONS[mutation](header, payload, signature))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_unmutated_token_is_admitted(algorithm: str) -> None:
    """Or the table above would prove nothing."""
    sign_in_for(algorithm).accepts(good_token(algorithm))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_second_encoding_of_the_same_signature_is_refused(algorithm: str) -> None:
    """Unused bits in the last base64url character would give one token several spellings (RFC 4648 §3.5)."""
    token = good_token(algorithm)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    unused_bits = {2: 4, 3: 2}.get(len(token.rpartition(".")[2]) % 4)
    if unused_bits:
        other = alphabet[alphabet.index(token[-1]) + 1]
        sign_in_for(algorithm).rejects(token[:-1] + other)
    else:
        assert algorithm in {"ES384", "ES512"}, "only signatures of 96 and 132 bytes leave no bit unused"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", " none", "null"])
def test_alg_none_is_refused_in_every_spelling(name: str) -> None:
    """RFC 8725 §2.1, CVE-2015-9235, CVE-2020-28042 (empty signature), CVE-2018-1000531."""
    for algorithm in ALGORITHMS:
        unsigned = (
            f"{base64url(json.dumps({'alg': name}).encode())}.{base64url(json.dumps(claims()).encode())}"
        )
        for signature in ("", "AA"):
            sign_in_for(algorithm).rejects(f"{unsigned}.{signature}")


@pytest.mark.parametrize("name", [None, True, 0, ["RS256"], {"RS256": 1}])
def test_alg_of_another_type_is_refused(name: Any) -> None:
    """A header is whatever its sender wrote."""
    header = json.dumps({"alg": name} if name is not None else {}).encode()
    for algorithm in KINDS:
        sign_in_for(algorithm).rejects(Signer(algorithm).sign_parts(header, claims()))


@pytest.mark.parametrize("algorithm", KINDS)
def test_a_public_key_is_no_hmac_secret(algorithm: str) -> None:
    """RFC 8725 §2.1, CVE-2015-9235, CVE-2016-10555, CVE-2022-29217: RS256 becomes HS256 under the public key."""
    public = Signer(algorithm).private.public_key()
    spellings = [public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)]
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    spellings += [pem, pem.strip(), pem.replace(b"\n", b"\r\n"), pem.replace(b"\n", b"")]
    spellings += [json.dumps(Signer(algorithm).jwk()).encode()]
    spellings += [public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)]
    for keys in (StaticKeys((Signer(algorithm).verification_key,)), PublishedKeys(Signer(algorithm).jwk())):
        for secret in spellings:
            sign_in(keys).rejects(sign_hs256(claims(), secret, kid="key-1"))


def test_a_published_shared_secret_verifies_nothing() -> None:
    """CVE-2022-29217's kin: an ``oct`` entry in a key set would be a secret that everybody knows."""
    published = base64url(SECRET.encode())
    keys = PublishedKeys(Signer().jwk(), {"kty": "oct", "k": published, "kid": "shared", "alg": "HS256"})
    sign_in(keys).rejects(sign_hs256(claims(), SECRET, kid="shared"))
    sign_in(keys).accepts(Signer().sign(claims()))


NAMED = (*ALGORITHMS, "HS384", "HS512", "ES521", "ES256K", "Ed448")


EDDSA = {"EdDSA", "Ed25519"}


@pytest.mark.parametrize(
    ("algorithm", "claimed"),
    [(key, name) for key in KINDS for name in NAMED if name != key and {key, name} != EDDSA],
)
def test_a_key_verifies_only_what_it_is_for(algorithm: str, claimed: str) -> None:
    """Wycheproof's WrongPrimitive: the header names another algorithm than the one that signed."""
    header = {"alg": claimed, "kid": "key-1", "typ": "JWT"}
    forged = Signer(algorithm).sign_parts(header, claims())
    sign_in_for(algorithm).rejects(forged)
    sign_in(PublishedKeys(Signer(algorithm).jwk())).rejects(forged)


def test_a_careless_source_of_keys_cannot_widen_a_keys_algorithms() -> None:
    """The key's own list is given to PyJWT too, so a source that offers a key for anything opens nothing."""

    class Careless:
        def candidates(self, _header: Any) -> list[VerificationKey]:
            return [VerificationKey(private_key("RSA").public_key(), ("RS256",))]

    sign_in(Careless()).accepts(good_token("RS256"))
    assert sign_in(Careless()).cause(good_token("PS256")) == "bad_signature"


def test_a_jwk_is_bound_to_the_algorithm_it_names() -> None:
    """RFC 8725 §3.1: one key, one algorithm; an RS256 key of the set does not verify PS256."""
    rs256_only = PublishedKeys(Signer("RS256").jwk())
    sign_in(rs256_only).accepts(Signer("RS256").sign(claims()))
    sign_in(rs256_only).rejects(Signer("PS256").sign(claims()))


def test_keys_that_the_token_brings_along_are_ignored() -> None:
    """CVE-2018-0114 (embedded ``jwk``), and ``jku``, ``x5u``, ``x5c``: RFC 8725 §3.10 warns of fetching them."""
    eve = Signer("RS256", name="eve")
    brought = [
        {"jwk": eve.jwk()},
        {"jku": "http://127.0.0.1:1/jwks.json"},
        {"x5u": "http://127.0.0.1:1/cert.pem"},
        {"x5c": ["MIIB"]},
        {"jwk": {"kty": "oct", "k": base64url(b"k" * 32)}},
    ]
    for keys in (StaticKeys((Signer("RS256").verification_key,)), PublishedKeys(Signer("RS256").jwk())):
        for header in brought:
            assert sign_in(keys).cause(eve.sign(claims(), **header)) == "bad_signature"


@pytest.mark.parametrize(
    "key_id",
    [
        "../../../../dev/null",
        "/dev/null",
        "key-1' OR '1'='1",
        "key-1; SELECT 'k'",
        "http://127.0.0.1:1/",
        "key-1\x00",
        "Key-1",
        "key-1 ",
        "",
        "__proto__",
        "k" * 256,
    ],
)
def test_a_key_id_is_only_compared(key_id: str) -> None:
    """RFC 8725 §3.10: paths, SQL and URLs in ``kid`` find nothing, an HMAC with an empty file's key included."""
    keys = PublishedKeys(Signer().jwk())
    assert sign_in(keys).cause(Signer().sign(claims(), kid=key_id)) == "unknown_key"
    for secret in (b"", b"\x00"):
        sign_in(keys).rejects(sign_hs256(claims(), secret, kid=key_id))


@pytest.mark.parametrize("key_id", [1, True, None, ["key-1"], {"key-1": 1}, "k" * 257])
def test_a_key_id_of_another_type_is_refused(key_id: Any) -> None:
    """``kid`` is a string (RFC 7515 §4.1.4)."""
    header = {"alg": "RS256", "typ": "JWT", "kid": key_id}
    assert sign_in(PublishedKeys(Signer().jwk())).cause(Signer().sign_parts(header, claims())) == "malformed"


@pytest.mark.parametrize("algorithm", ["ES256", "ES384"])
def test_psychic_signatures_are_refused(algorithm: str) -> None:
    """CVE-2022-21449: r and s of zero, or of the group's order, must verify nothing."""
    order = {
        "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    }[algorithm]
    size = {"ES256": 32, "ES384": 48}[algorithm]
    header, payload, _ = good_token(algorithm).split(".")
    for r, s in [(0, 0), (0, 1), (1, 0), (1, 1), (order, order), (order, 1), (2 ** (8 * size) - 1, 1)]:
        signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        assert sign_in_for(algorithm).cause(f"{header}.{payload}.{base64url(signature)}") == "bad_signature"


@pytest.mark.parametrize("algorithm", ["ES256", "ES384"])
def test_ecdsa_signatures_have_one_form(algorithm: str) -> None:
    """RFC 7518 §3.4: r and s of fixed length; DER, or numbers of another width, are not that."""
    private: ec.EllipticCurvePrivateKey = Signer(algorithm).private
    digest = {"ES256": hashes.SHA256(), "ES384": hashes.SHA384()}[algorithm]
    size = {"ES256": 32, "ES384": 48}[algorithm]
    header, payload, _ = good_token(algorithm).split(".")
    der = private.sign(f"{header}.{payload}".encode(), ec.ECDSA(digest))
    r, s = decode_dss_signature(der)
    for signature in (
        der,
        *(n(r) + n(s) for n in [lambda x, w=w: x.to_bytes(w, "big") for w in (size + 1, size + 16)]),
    ):
        sign_in_for(algorithm).rejects(f"{header}.{payload}.{base64url(signature)}")
    right = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    sign_in_for(algorithm).accepts(f"{header}.{payload}.{base64url(right)}")


def test_rsa_signatures_have_one_padding() -> None:
    """Wycheproof's ModifiedPadding: another hash or padding is another algorithm."""
    private = private_key("RSA")
    header, payload, _ = good_token("RS256").split(".")
    signed = f"{header}.{payload}".encode()
    others = [
        private.sign(signed, padding.PKCS1v15(), hashes.SHA1()),  # noqa: S303 - the attack itself
        private.sign(signed, padding.PKCS1v15(), hashes.SHA512()),
        private.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
    ]
    right = private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    sign_in_for("RS256").accepts(f"{header}.{payload}.{base64url(right)}")
    for signature in others:
        assert sign_in_for("RS256").cause(f"{header}.{payload}.{base64url(signature)}") == "bad_signature"


def test_an_eddsa_signature_with_a_small_order_point_is_refused() -> None:
    """A = R = the neutral element verifies any message for verifiers that do not check."""
    header, payload, _ = good_token("EdDSA").split(".")
    neutral = (1).to_bytes(32, "little") + (0).to_bytes(32, "little")
    assert sign_in_for("EdDSA").cause(f"{header}.{payload}.{base64url(neutral)}") == "bad_signature"


@pytest.mark.parametrize(
    "extension",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": False},
        {"crit": ["b64"], "b64": True},
        {"b64": False},
        {"crit": []},
        {"crit": "b64"},
        {"crit": None},
        {"crit": ["http://example.com/unknown"]},
    ],
)
def test_critical_extensions_are_refused(extension: dict[str, Any]) -> None:
    """RFC 7515 §4.1.11 and CVE-2025-59420: what must be understood and is not; RFC 7797's ``b64`` among it."""
    header = {"alg": "RS256", "typ": "JWT", **extension}
    assert sign_in_for("RS256").cause(Signer().sign_parts(header, claims())) == "critical_extension"


def test_an_unencoded_payload_is_refused() -> None:
    """RFC 7797: with ``b64`` false the signature covers other bytes than the ones that are read."""
    header = base64url(b'{"alg":"HS256","b64":false,"crit":["b64"]}')
    payload = json.dumps(claims())
    for body in (payload, base64url(payload.encode()), ""):
        signature = hmac.digest(SECRET.encode(), f"{header}.{payload}".encode(), hashlib.sha256)
        sign_in().rejects(f"{header}.{body}.{base64url(signature)}")


@pytest.mark.parametrize(
    "payload",
    [
        b'{"iss":"https://issuer.test/","aud":"token-service","sub":"ada","sub":"eve","exp":1800003600}',
        b'{"iss":"https://evil.test/","iss":"https://issuer.test/","aud":"token-service","sub":"a","exp":1800003600}',
        b'{"iss":"https://issuer.test/","aud":"token-service","sub":"ada","exp":1,"exp":1800003600}',
        b'{"iss":"https://issuer.test/","aud":"token-service","sub":"a","exp":1800003600,"x":{"y":1,"y":2}}',
        b'{"iss":"https://issuer.test/","aud":"token-service","sub":"a","s\\u0075b":"b","exp":1800003600}',
    ],
)
def test_duplicate_members_are_refused(payload: bytes) -> None:
    """RFC 7519 §4: two readers of one token must not see two users; escaped spellings count."""
    assert sign_in().cause(sign_hs256(payload, SECRET)) == "malformed"


def test_a_duplicate_alg_is_refused() -> None:
    """The header is read before anything is verified, so it too has one reading."""
    header = b'{"alg":"none","alg":"RS256","typ":"JWT"}'
    assert sign_in_for("RS256").cause(Signer().sign_parts(header, claims())) == "malformed"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_only_utf_8_is_read(encoding: str) -> None:
    """RFC 8725 §2.6 and §3.7; ``json.loads`` would guess the encoding of bytes."""
    payload = json.dumps(claims()).encode(encoding)
    assert sign_in().cause(sign_hs256(payload, SECRET)) == "malformed"
    header = json.dumps({"alg": "RS256"}).encode(encoding)
    sign_in_for("RS256").rejects(Signer().sign_parts(header, claims()))


@pytest.mark.parametrize("part", [b"[" * 5000, b'{"a":' * 900, b"{" + b'"' * 3000])
def test_deep_nesting_ends_in_a_refusal(part: bytes) -> None:
    """CVE-2025-53864 (Nimbus): a token nobody verified must not exhaust the stack."""
    assert sign_in().cause(sign_hs256(part, SECRET)) == "malformed"
    sign_in_for("RS256").rejects(Signer().sign_parts(part, claims()))


def test_a_jwt_inside_a_jwt_is_refused() -> None:
    """RFC 8725 §3.3 asks to validate every layer; we take one."""
    inner = sign_hs256(claims(), SECRET)
    assert sign_in().cause(sign_hs256(inner.encode(), SECRET, cty="JWT")) == "malformed"


def test_a_compressed_payload_is_refused() -> None:
    """CVE-2024-33664's kin: ``zip`` belongs to JWE; a small token must not grow in memory."""
    import zlib  # noqa: PLC0415 - only this attack compresses

    assert (
        sign_in().cause(sign_hs256(zlib.compress(json.dumps(claims()).encode()), SECRET, zip="DEF"))
        == "malformed"
    )


@pytest.mark.parametrize("secret", ["secret", "x" * 31])
def test_a_weak_secret_is_no_key(secret: str) -> None:
    """CVE-2025-45768's kin: not even where a short secret got past the settings."""
    with pytest.raises(ValueError, match="at least 32"):
        VerificationKey(secret.encode(), ("HS256",))


def test_a_weak_rsa_key_is_no_key() -> None:
    """RFC 7518 §3.3, with the same double bottom."""
    with pytest.raises(ValueError, match="1024"):
        VerificationKey(private_key("RSA-1024").public_key(), ("RS256",))


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "none"])
def test_a_key_is_not_paired_with_an_algorithm_of_another_kind(algorithm: str) -> None:
    """RFC 8725 §3.1: the confusion of algorithms cannot be set up, either."""
    with pytest.raises(ValueError, match="another kind"):
        VerificationKey(private_key("RSA").public_key(), (algorithm,))


def test_a_token_of_another_service_is_refused() -> None:
    """RFC 8725 §2.7 and §2.8: cross-service and cross-JWT confusion meet ``aud``, ``iss`` and ``typ``."""
    assert sign_in().cause(sign_hs256(claims(aud="billing"), SECRET)) == "wrong_audience"
    assert sign_in().cause(sign_hs256(claims(iss="https://issuer.test/other"), SECRET)) == "wrong_issuer"
    assert sign_in().cause(sign_hs256(claims(), SECRET, typ="secevent+jwt")) == "wrong_type"


def test_a_partial_match_of_the_issuer_is_no_match() -> None:
    """CVE-2024-53861: PyJWT 2.10.0 compared ``iss`` by containment."""
    for issuer in ("https://issuer.test", "h", "", "https://issuer.test/ "):
        assert sign_in().cause(sign_hs256(claims(iss=issuer), SECRET)) == "wrong_issuer"


def test_every_source_of_keys_holds_to_its_own_algorithms() -> None:
    """With several sources at once, none lends its key to another's algorithm."""
    signer = Signer("RS256")
    sources: tuple[KeySource, ...] = (StaticKeys((load_secret(SECRET),)), PublishedKeys(signer.jwk()))
    both = sign_in(*sources)
    both.accepts(signer.sign(claims()))
    both.accepts(sign_hs256(claims(), SECRET, kid="key-1"))
    pem = signer.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    both.rejects(sign_hs256(claims(), pem, kid="key-1"))
    both.rejects(jwt.encode(claims(), "eve-" * 8, algorithm="HS256", headers={"kid": "key-1"}))
