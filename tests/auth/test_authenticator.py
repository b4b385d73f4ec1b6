"""From an Authorization header to a caller, and what the log learns of those that are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.auth.keys import StaticKeys, load_public_keys, load_secret
from service.auth.token import MAX_TOKEN_CHARACTERS
from service.core.claims import find_claim
from service.core.errors import (
    InsufficientScopeError,
    InvalidTokenError,
    MissingTokenError,
    RequestHeaderFieldsTooLargeError,
)
from service.core.model import pseudonym
from tests.support.authentication import ISSUER, NOW, PSEUDONYM_KEY, SECRET, Clock, claims, sign_in
from tests.support.identity_provider import KINDS, Signer, base64url, sign_hs256


def token(**changes: Any) -> str:
    """Sign good claims, or claims wrong in just this."""
    return sign_hs256(claims(**changes), SECRET)


def test_a_good_token_makes_a_caller() -> None:
    """The caller is the one that the verified claims name, under a pseudonym that only the key's holder can make."""
    caller = sign_in().accepts(token(tier="pro"))
    assert (caller.issuer, caller.subject, caller.claims["tier"]) == (ISSUER, "ada", "pro")
    assert caller.pseudonym == pseudonym(PSEUDONYM_KEY, ISSUER, "ada")
    assert "ada" not in repr(caller)


def test_a_callers_claims_cannot_be_changed() -> None:
    """What was verified stays what it was."""
    caller = sign_in().accepts(token())
    with pytest.raises(TypeError):
        caller.claims["tier"] = "pro"  # type: ignore[index]


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "bearertoken", "Token x", " "]
)
def test_no_bearer_token_is_a_missing_token(header: str | None) -> None:
    """RFC 6750 §3.1: a request without credentials is told no error code."""
    with pytest.raises(MissingTokenError):
        sign_in().authenticator.authenticate(header)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_is_case_insensitive(scheme: str) -> None:
    """RFC 9110 §11.1."""
    assert sign_in().authenticator.authenticate(f"{scheme} {token()}").subject == "ada"


@pytest.mark.parametrize("text", ["a b", "a.b.c.d", "a.b.c", "é.é.é", "..", "\x00", "\ud800", "a,b"])
def test_a_malformed_token_is_an_invalid_one(text: str) -> None:
    """Whatever stands behind the scheme gets a 401."""
    assert sign_in().cause(text) == "malformed"


def test_a_token_of_any_size_up_to_the_cap_is_read() -> None:
    """The cap leaves room for the large tokens that providers do make."""
    padding = (MAX_TOKEN_CHARACTERS - len(token(groups=""))) * 3 // 4 - 2
    largest = token(groups="g" * padding)
    assert MAX_TOKEN_CHARACTERS - 8 < len(largest) <= MAX_TOKEN_CHARACTERS
    sign_in().accepts(largest)


def test_a_token_over_the_cap_is_too_large_and_not_invalid() -> None:
    """Work for what nobody has verified is bounded; and signing in again would not help, so the words say so."""
    with pytest.raises(RequestHeaderFieldsTooLargeError, match="too large") as refused:
        sign_in().accepts(token(groups="g" * MAX_TOKEN_CHARACTERS))
    assert (refused.value.status, refused.value.code) == (431, "request_header_fields_too_large")
    assert "Sign in again" not in refused.value.message


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"exp": None}, "missing_claim"),
        ({"exp": NOW - 10}, "expired"),
        ({"exp": str(NOW + 60)}, "wrong_claim_type"),
        ({"exp": True}, "wrong_claim_type"),
        ({"exp": [NOW + 60]}, "wrong_claim_type"),
        ({"exp": 1e300}, "wrong_claim_type"),
        ({"exp": -1}, "wrong_claim_type"),
        ({"exp": float("inf")}, "malformed"),
        ({"exp": 10**400}, "wrong_claim_type"),
        ({"exp": NOW + 100 * 365 * 86_400}, "lives_too_long"),
        ({"iat": NOW - 86_000, "exp": NOW + 401}, "lives_too_long"),
        ({"iat": None, "exp": NOW + 86_401}, "lives_too_long"),
        ({"iat": NOW + 11}, "not_yet_valid"),
        ({"iat": "now"}, "wrong_claim_type"),
        ({"iat": False}, "wrong_claim_type"),
        ({"nbf": NOW + 11}, "not_yet_valid"),
        ({"nbf": str(NOW)}, "wrong_claim_type"),
        ({"iss": None}, "wrong_issuer"),
        ({"iss": ISSUER.rstrip("/")}, "wrong_issuer"),
        ({"iss": ISSUER.upper()}, "wrong_issuer"),
        ({"iss": [ISSUER]}, "wrong_issuer"),
        ({"aud": None}, "missing_claim"),
        ({"aud": ""}, "wrong_audience"),
        ({"aud": "token-service-2"}, "wrong_audience"),
        ({"aud": []}, "wrong_audience"),
        ({"aud": ["another"]}, "wrong_audience"),
        ({"aud": ["token-service", 1]}, "wrong_claim_type"),
        ({"aud": {"token-service": 1}}, "wrong_claim_type"),
        ({"sub": None}, "bad_subject"),
        ({"sub": ""}, "bad_subject"),
        ({"sub": " \t "}, "bad_subject"),
        ({"sub": "\u200b"}, "bad_subject"),
        ({"sub": "a\nb"}, "bad_subject"),
        ({"sub": "\ud800"}, "bad_subject"),
        ({"sub": 42}, "bad_subject"),
        ({"sub": ["ada"]}, "bad_subject"),
        ({"sub": "a" * 256}, "bad_subject"),
    ],
)
def test_each_claim_is_held_to_its_type_and_value(changes: dict[str, Any], cause: str) -> None:
    """RFC 7519 §4.1, RFC 8725 §3.8 to §3.10: most of these PyJWT takes as they come."""
    spoiled = {name: value for name, value in {**claims(), **changes}.items() if value is not None}
    assert sign_in().cause(sign_hs256(spoiled, SECRET)) == cause


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 9},
        {"exp": NOW + 0.5},
        {"iat": NOW + 10},
        {"nbf": NOW + 10},
        {"nbf": NOW - 1},
        {"iat": None},
        {"iat": NOW - 86_000, "exp": NOW + 400},
        {"aud": ["another", "token-service"]},
        {"sub": "auth0|ada lovelace"},
        {"sub": "a" * 255},
        {"azp": "anybody"},
    ],
)
def test_what_the_rules_allow_passes(changes: dict[str, Any]) -> None:
    """Leeway, fractions of a second, several audiences, and the longest life there may be."""
    sign_in().accepts(token(**changes))


def test_an_unreadable_payload_is_refused() -> None:
    """A signature over something that is not a JSON object proves nothing we can use."""
    for payload in (
        b"foo",
        b"[]",
        b'"ada"',
        b"\xff",
        b'{"exp": NaN}',
        b'{"exp": 1e999}',
        b'{"a": [-1e400]}',
        b"[" * 5000,
        b'{"a":1,"a":1}',
        b"\xef\xbb\xbf{}",
    ):
        assert sign_in().cause(sign_hs256(payload, SECRET)) == "malformed"


def test_an_authorized_party_must_be_on_the_list() -> None:
    """``JWT_AUTHORIZED_PARTIES``: a token without ``azp`` is refused too, unless the list holds ``-``."""
    guarded = sign_in(authorized_parties=("https://app.example.com",))
    with_native_apps = sign_in(authorized_parties=("-", "https://app.example.com"))
    guarded.accepts(token(azp="https://app.example.com"))
    assert guarded.cause(token()) == "wrong_party"
    with_native_apps.accepts(token())
    for other in ("https://app.example.com.evil.test", "", "-", ["https://app.example.com"], ["-"], 1):
        assert guarded.cause(token(azp=other)) == "wrong_party"
        assert with_native_apps.cause(token(azp=other)) == "wrong_party"


@pytest.mark.parametrize(
    "granted",
    [
        {"scope": "openid realtime"},
        {"scp": ["realtime"]},
        {"permissions": ["other", "realtime"]},
        {"scope": "openid", "permissions": ["realtime"]},
    ],
)
def test_a_required_scope_is_found_wherever_providers_put_it(granted: dict[str, Any]) -> None:
    """``scope`` is a string (RFC 8693 §4.2), ``scp`` and ``permissions`` are lists."""
    sign_in(required_scope="realtime").accepts(token(**granted))


@pytest.mark.parametrize(
    "granted",
    [{}, {"scope": "realtime2"}, {"scope": ""}, {"scp": [1]}, {"scope": 1}, {"permissions": {"realtime": 1}}],
)
def test_a_missing_scope_is_named(granted: dict[str, Any]) -> None:
    """A good token without the scope is a 403 that says which one to ask for (RFC 6750 §3.1)."""
    with pytest.raises(InsufficientScopeError) as refused:
        sign_in(required_scope="realtime").accepts(token(**granted))
    assert 'error="insufficient_scope", scope="realtime"' in refused.value.headers["WWW-Authenticate"]


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_access_and_identity_tokens_are_taken(kind: str | None) -> None:
    """RFC 9068 §2.1, RFC 7519 §5.1; many issuers leave ``typ`` out."""
    sign_in().accepts(sign_hs256(claims(), SECRET, typ=kind))


@pytest.mark.parametrize("kind", ["dpop+jwt", "logout+jwt", "secevent+jwt", "JWE", "", 1, ["JWT"]])
def test_other_kinds_of_jwt_are_not(kind: Any) -> None:
    """RFC 8725 §3.11: the same key may sign logout tokens, DPoP proofs and security events."""
    assert sign_in().cause(sign_hs256(claims(), SECRET, typ=kind)) == "wrong_type"


def test_any_of_several_secrets_verifies() -> None:
    """``JWT_SECRET=new,old`` lets both sign while clients move over."""
    old, new = "old-" * 8, "new-" * 8
    rotating = sign_in(StaticKeys((load_secret(new), load_secret(old))))
    for secret in (old, new):
        rotating.accepts(sign_hs256(claims(), secret))
    assert rotating.cause(sign_hs256(claims(), "other-" * 8)) == "bad_signature"


@pytest.mark.parametrize("algorithm", KINDS)
def test_each_public_key_algorithm_verifies(algorithm: str) -> None:
    """RS256 and PS256, ES256 and ES384, EdDSA."""
    signer = Signer(algorithm)
    with_key = sign_in(StaticKeys((signer.verification_key,)))
    with_key.accepts(signer.sign(claims()))
    assert with_key.cause(Signer(algorithm, name="another").sign(claims())) == "bad_signature"


def test_a_public_key_in_the_environment_is_pem() -> None:
    """``JWT_PUBLIC_KEY``, with real line ends or the written-out ones that hosts store."""
    signer = Signer("ES256")
    public = (
        signer.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    )
    for pem in (public, public.replace("\n", "\\n")):
        sign_in(StaticKeys(load_public_keys(pem))).accepts(signer.sign(claims()))


def test_a_later_source_of_keys_is_asked_last() -> None:
    """Where several sources are permitted, a configured key never waits for a provider."""

    class Provider:
        asked = 0

        def candidates(self, _header: Any) -> list[Any]:
            self.asked += 1
            return [Signer("RS256").verification_key]

    provider = Provider()
    both = sign_in(StaticKeys((load_secret(SECRET),)), provider)
    both.accepts(token())
    assert provider.asked == 0
    both.accepts(Signer("RS256").sign(claims()))
    assert provider.asked == 1


class Memory:
    """A replay guard that remembers in a dictionary."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def first_use(self, token_id: str, expires_at: int) -> bool:
        is_new = token_id not in self.seen
        self.seen[token_id] = expires_at
        return is_new


def test_a_single_use_token_is_good_once() -> None:
    """``JWT_SINGLE_USE``: each ``jti`` once, remembered until the token can no longer pass, leeway included."""
    memory = Memory()
    once = sign_in(single_use=memory)
    once.accepts(token(jti="a", exp=NOW + 60.5))
    assert once.cause(token(jti="a", exp=NOW + 60.5)) == "replayed"
    once.accepts(token(jti="b"))
    (first, second) = memory.seen
    assert memory.seen[first] == NOW + 61 + 10
    assert len(first) == len(second) == 64


@pytest.mark.parametrize("jti", [None, "", 7, ["a"]])
def test_a_single_use_token_needs_an_id(jti: Any) -> None:
    """Without ``jti`` its first use cannot be told from its second."""
    assert sign_in(single_use=Memory()).cause(token(jti=jti)) == "missing_claim"


def test_a_refused_token_is_not_used_up() -> None:
    """Only a token that would have passed counts as used."""
    memory = Memory()
    with pytest.raises(InsufficientScopeError):
        sign_in(single_use=memory, required_scope="realtime").accepts(token(jti="a"))
    assert not memory.seen


def test_the_log_learns_why_and_the_caller_does_not() -> None:
    """Cause, kid, alg, issuer seen and expected: everything an admin needs to see what is set wrong."""
    wrong = sign_hs256(claims(iss="https://other.test"), SECRET, kid="key-7")
    refusal = sign_in().rejects(wrong)
    assert refusal.reason == "iss is not an accepted issuer"
    assert refusal.seen == {
        "cause": "wrong_issuer",
        "alg": "HS256",
        "kid": "key-7",
        "issuer": "https://other.test",
        "expected_issuer": ISSUER,
    }
    assert "iss" not in refusal.message
    assert refusal.message == InvalidTokenError("any other reason").message


def test_the_issuer_of_a_token_with_an_unknown_key_is_logged() -> None:
    """Most such tokens are another environment's; its issuer says which."""
    foreign = Signer("RS256", key_id="staging-1").sign(claims(iss="https://staging.test"))
    seen = sign_in().rejects(foreign).seen
    assert (seen["cause"], seen["kid"], seen["issuer"], seen["expected_issuer"]) == (
        "wrong_issuer",
        "staging-1",
        "https://staging.test",
        ISSUER,
    )
    assert sign_in().cause(Signer("RS256").sign(claims())) == "unknown_key"


def test_what_a_token_says_cannot_forge_log_lines() -> None:
    """Line breaks and terminal escapes are written out, and long values cut."""
    hostile = sign_hs256(claims(iss="x\n\x1b[31mok" + "y" * 500), SECRET, kid="k\r\nk")
    seen = sign_in().rejects(hostile).seen
    assert seen["issuer"].startswith(r"x\n\x1b[31mok")
    assert seen["kid"] == r"k\r\nk"
    assert len(seen["issuer"]) <= 201
    assert all(str(value).isprintable() for value in seen.values())


def test_time_is_the_clocks() -> None:
    """A token that was good is refused once the given clock has passed its end."""
    clock = Clock()
    timed = sign_in(clock=clock)
    timed.accepts(token())
    clock.advance(3600 + 10)
    assert timed.cause(token()) == "expired"


def test_a_tampered_payload_is_refused() -> None:
    """The signature covers every byte of header and payload."""
    header, _, signature = token().split(".")
    forged = base64url(json.dumps(claims(sub="eve")).encode())
    assert sign_in().cause(f"{header}.{forged}.{signature}") == "bad_signature"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("https://acme.example/roles", ["a"]),
        ("https://acme.example/app.tier", "pro"),
        ("realm_access.roles", ["user"]),
        ("resource_access.my.app.roles", ["admin"]),
        ("a.b", 1),
        ("a.b.c", None),
        ("a.", None),
        ("", None),
        ("missing.path", None),
    ],
)
def test_a_claim_is_found_by_name_or_by_path(name: str, value: Any) -> None:
    """The literal name first; the members of a path may hold dots themselves, as Keycloak's clients do."""
    found = {
        "https://acme.example/roles": ["a"],
        "https://acme.example/app": {"tier": "pro"},
        "realm_access": {"roles": ["user"]},
        "resource_access": {"my.app": {"roles": ["admin"]}},
        "a.b": 1,
        "a": {"b": 2},
    }
    assert find_claim(found, name) == value
