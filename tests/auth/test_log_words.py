"""What the log says of the tokens that people send by mistake; the caller is told the same for all."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest

from service.auth.keys import StaticKeys, load_secret
from service.auth.settings import AuthSettings
from service.core.environment import ConfigurationError
from service.core.errors import InvalidTokenError
from tests.support.authentication import SECRET, claims, sign_in, sign_in_from
from tests.support.identity_provider import Signer, sign_hs256
from tests.support.tokens import claims as fresh_claims
from tests.support.wrong_tokens import NOT_SIGNED

RAW = bytes(range(150, 190))
ENCODED = b64encode(RAW).decode()


@pytest.mark.parametrize(("token", "cause", "words"), NOT_SIGNED.values(), ids=NOT_SIGNED)
def test_what_is_not_a_signed_jwt_is_named(token: str, cause: str, words: str) -> None:
    """Each has a remedy of its own, which "malformed" would not tell."""
    refused = sign_in().rejects(token)
    assert refused.seen["cause"] == cause
    assert words in str(refused.reason)
    assert refused.message == InvalidTokenError("any").message


def test_a_secret_that_is_base64_is_recognised() -> None:
    """Supabase and Firebase show base64 of the bytes that they sign with, or of text that looks like it."""
    token = sign_hs256(claims(), RAW)
    as_text = {"JWT_SECRET": ENCODED, "JWT_ISSUER": claims()["iss"], "JWT_AUDIENCE": claims()["aud"]}
    refused = sign_in_from(**as_text).rejects(token)
    assert refused.seen["cause"] == "bad_signature"
    assert "JWT_SECRET_ENCODING" in str(refused.reason)
    other = sign_in_from(**as_text).rejects(sign_hs256(claims(), "another-secret-of-32-bytes-and-more"))
    assert "JWT_SECRET_ENCODING" not in str(other.reason)
    decoded = sign_in_from(**as_text, JWT_SECRET_ENCODING="base64")
    assert "JWT_SECRET_ENCODING" in str(decoded.rejects(sign_hs256(claims(), ENCODED)).reason)


@pytest.mark.parametrize(
    "spelling", [ENCODED, ENCODED.rstrip("="), urlsafe_b64encode(RAW).decode(), f"{ENCODED},{ENCODED}"]
)
def test_base64_secrets_verify(spelling: str) -> None:
    """Padded or not, either alphabet, several to rotate."""
    decoded = sign_in_from(
        JWT_SECRET=spelling,
        JWT_SECRET_ENCODING="base64",
        JWT_ISSUER=fresh_claims()["iss"],
        JWT_AUDIENCE=fresh_claims()["aud"],
    )
    decoded.accepts(sign_hs256(fresh_claims(), RAW))


@pytest.mark.parametrize(
    ("secret", "words"), [("not base64! but more than 32 bytes long", "not base64"), ("c2hvcnQ=", "5 bytes")]
)
def test_a_secret_of_the_wrong_encoding_stops_the_start(secret: str, words: str) -> None:
    """And is not repeated."""
    environ = {"JWT_SECRET": secret, "JWT_SECRET_ENCODING": "base64", "JWT_ISSUER": "i", "JWT_AUDIENCE": "a"}
    with pytest.raises(ConfigurationError, match=words) as refused:
        AuthSettings.from_environ(environ)
    assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("found", "user"), [({"uid": "ada"}, "ada"), ({"uid": 42}, "42"), ({"user": {"id": "ada"}}, "ada")]
)
def test_the_user_may_be_named_by_another_claim(found: dict[str, Any], user: str) -> None:
    """``JWT_USER_CLAIM``, a dotted path too; where it is missing ``sub`` does not stand in for it."""
    name = "user.id" if "user" in found else "uid"
    named = sign_in(user_claim=name)
    caller = named.accepts(sign_hs256(claims(**found, sub="a-session"), SECRET))
    assert caller.subject == user
    assert named.cause(sign_hs256(claims(), SECRET)) == "bad_subject"
    for wrong in (True, "", " ", 1.5, ["ada"], {"ada": 1}):
        assert sign_in(user_claim="uid").cause(sign_hs256(claims(uid=wrong), SECRET)) == "bad_subject"


def test_a_claim_that_users_can_write_is_warned_about() -> None:
    """Whoever may write it may be anybody."""
    environ = {"JWT_SECRET": SECRET, "JWT_ISSUER": "i", "JWT_AUDIENCE": "a"}
    (warning,) = AuthSettings.from_environ({**environ, "JWT_USER_CLAIM": "user_metadata.id"}).auth_warnings()
    assert warning.startswith("JWT_USER_CLAIM: ")
    assert not AuthSettings.from_environ({**environ, "JWT_USER_CLAIM": "uid"}).auth_warnings()


def test_a_request_that_does_not_use_up_a_token_leaves_it_good() -> None:
    """Under ``JWT_SINGLE_USE`` reading and ending a call need no fresh token."""

    class Memory:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def first_use(self, token_id: str, _expires_at: int) -> bool:
            self.seen.append(token_id)
            return self.seen.count(token_id) == 1

    once = sign_in(StaticKeys((load_secret(SECRET),)), single_use=Memory())
    token = sign_hs256(claims(jti="a"), SECRET)
    for _ in range(2):
        once.authenticator.authenticate(f"Bearer {token}", use_up=False)
    once.accepts(token)
    assert once.cause(token) == "replayed"


def test_eddsa_has_two_names() -> None:
    """RFC 9864 made ``Ed25519`` of it; a key that is published under one name verifies the other."""
    for key, used in (("EdDSA", "Ed25519"), ("Ed25519", "EdDSA")):
        keys = StaticKeys((Signer(key).verification_key,))
        sign_in(keys).accepts(Signer(used).sign(claims()))
