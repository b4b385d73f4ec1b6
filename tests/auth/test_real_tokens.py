"""Tokens and keys as issuers really make them, at the running service: gunicorn, sockets, and what its log says."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from jwt.algorithms import RSAAlgorithm

from tests.support.identity_provider import KINDS, Signer, identity_provider, private_key, sign_hs256
from tests.support.processes import wait_until
from tests.support.public_keys import certificate, pem
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.tokens import ISSUER, claims
from tests.support.wrong_tokens import NOT_SIGNED

SECRET_BYTES = bytes(range(150, 190))
BASE64_SECRET = b64encode(SECRET_BYTES).decode()

PUBLISHED = {algorithm: Signer(algorithm, key_id=algorithm) for algorithm in KINDS}
WITHOUT_KID = Signer("ES256", key_id=None, name="published without kid")
WITH_NULLS = Signer("RS256", key_id="with nulls", name="published with nulls")
UNUSABLE = Signer("RS256", key_id="unusable", name="unusable")
CERTIFICATE = certificate("RSA", UNUSABLE.name)
UNUSABLE_ENTRIES: dict[str, dict[str, Any]] = {
    "certificates only": {"kty": "RSA", "use": "sig", "x5c": ["".join(CERTIFICATE.splitlines()[1:-1])]},
    "use in capitals": UNUSABLE.jwk(use="SIG"),
    "key_ops in capitals": UNUSABLE.jwk(key_ops=["Verify"]),
    "for encryption": UNUSABLE.jwk(use="enc"),
    "alg of an encryption": UNUSABLE.jwk(alg="RSA-OAEP"),
    "a private key": {**json.loads(RSAAlgorithm.to_jwk(UNUSABLE.private)), "key_ops": ["verify"]},
}
"""What a key set also holds; each costs its own key, and never the set."""

PLAN_CLAIM = "https://app.example.com/plan"
TIERS = {"RATE_LIMIT_TIERS": '{"pro": "70000/hour", "plus": "60000/hour"}'}


@pytest.fixture(scope="module")
def provided(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service beside a provider that publishes keys of every kind, with those that are of no use among them.

    A shared secret is accepted too: text that happens to be base64. There are two apps.
    """
    nulls = dict.fromkeys(("alg", "use", "key_ops", "x5c", "x5t", "d"))
    entries = [
        *(entry | {"kid": name} for name, entry in UNUSABLE_ENTRIES.items()),
        {**WITH_NULLS.jwk(), **nulls},
        WITHOUT_KID.jwk(),
        *(signer.jwk() for signer in PUBLISHED.values()),
    ]
    with (
        identity_provider(*entries) as provider,
        running_service(
            sandbox.base_url,
            JWT_JWKS_URL=provider.url,
            JWT_SECRET=BASE64_SECRET,
            JWT_ALLOW_MULTIPLE="1",
            JWT_AUDIENCE="web,mobile",
            RATE_LIMIT_TIER_CLAIM=f"{PLAN_CLAIM}.names",
            **TIERS,
        ) as service,
    ):
        yield service


CONFIGURED = (Signer("RS256", key_id=None), Signer("ES384", key_id="any"), Signer("EdDSA", key_id=None))
REALMS_KEY = Signer("RS256", key_id="realm", name="of the realm")


@dataclass(frozen=True)
class Configured:
    """A running service, and the issuer of the Keycloak realm that it trusts beside its own keys."""

    service: TokenService
    realm: str


@pytest.fixture(scope="module")
def configured(sandbox: Sandbox) -> Iterator[Configured]:
    """A service that holds keys itself, and trusts a Keycloak for users of its own.

    Two PEMs and a certificate, in one line as hosts store them, and a secret that is the base64 of its bytes. Users
    are named by a claim of their own.
    """
    public = [pem(private_key("RSA").public_key()), pem(private_key("Ed25519").public_key())]
    with identity_provider(REALMS_KEY) as provider:
        realm = f"{provider.issuer}/realms/acme"
        variables = {
            "AUTH_PROVIDER": f"keycloak:{provider.issuer}/acme",
            "JWT_PUBLIC_KEY": "".join([*public, certificate("P-384")]).replace("\n", "\\n"),
            "JWT_SECRET": BASE64_SECRET,
            "JWT_SECRET_ENCODING": "base64",
            "JWT_ALLOW_MULTIPLE": "1",
            "JWT_ISSUER": f"{realm},{ISSUER}",
            "JWT_USER_CLAIM": "user.id",
            "RATE_LIMIT_PER_USER": "100000/day",
            "RATE_LIMIT_TIER_CLAIM": "realm_access.roles",
        }
        with running_service(sandbox.base_url, **variables, **TIERS) as service:
            yield Configured(service, realm)


def status(service: TokenService, token: str) -> int:
    """Ask for a client secret; return the answer's status."""
    return service.token(jwt=token).status_code


def limit(service: TokenService, token: str) -> str:
    """Ask for a client secret; return the limit that its caller is told of."""
    answer = service.token(jwt=token)
    assert answer.status_code == 200, answer.text
    return answer.headers["RateLimit-Policy"]


def logged(service: TokenService, token: str, name: str) -> dict[str, Any]:
    """Have a token refused as every other is; return what the log says of it."""
    name = re.sub(r"\W+", "-", f"the {name}")
    answer = service.token(jwt=token, headers={"X-Request-Id": name})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")
    assert answer.json()["error"]["message"] == service.token(jwt="x").json()["error"]["message"]

    def lines() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in service.run.output.splitlines() if f'"{name}"' in line]
        return [line for line in found if line["event"] == "mint"]

    wait_until(lambda: bool(lines()), seconds=5, what="the log line")
    assert token not in service.run.output
    return lines()[0]


@pytest.mark.parametrize("algorithm", KINDS)
def test_a_provider_may_sign_by_every_algorithm_that_the_readme_lists(
    provided: TokenService, algorithm: str
) -> None:
    """With the ``kid`` of its key, and without any: then every key that fits is tried."""
    good = claims(aud="web")
    assert status(provided, PUBLISHED[algorithm].sign(good)) == 200
    assert status(provided, PUBLISHED[algorithm].sign(good, kid=None)) == 200


def test_a_key_that_is_published_without_kid_verifies_tokens_with_any(provided: TokenService) -> None:
    for key_id in (None, "a kid that no key has"):
        assert status(provided, WITHOUT_KID.sign(claims(aud="web"), kid=key_id)) == 200
    assert status(provided, WITHOUT_KID.sign(claims(aud="web"), kid="ES256")) == 401, "another key's"


def test_a_key_whose_other_members_are_null_is_a_key(provided: TokenService) -> None:
    """Some libraries write out every member they know."""
    assert status(provided, WITH_NULLS.sign(claims(aud="web"))) == 200


@pytest.mark.parametrize("entry", UNUSABLE_ENTRIES)
def test_an_entry_that_is_of_no_use_costs_its_own_key_and_never_the_set(
    provided: TokenService, entry: str
) -> None:
    assert logged(provided, UNUSABLE.sign(claims(aud="web"), kid=entry), entry)["token_kid"] == entry
    assert status(provided, PUBLISHED["RS256"].sign(claims(aud="web"))) == 200


def test_the_apps_of_several_audiences_sign_in(provided: TokenService) -> None:
    """Of web and mobile, or a bundle id and a services id."""
    for audience, expected in {"web": 200, "mobile": 200, "desktop": 401}.items():
        assert status(provided, PUBLISHED["RS256"].sign(claims(aud=audience))) == expected
    refused = logged(provided, PUBLISHED["RS256"].sign(claims(aud="tv")), "television")
    assert (refused["token_audience"], refused["token_expected_audience"]) == ("tv", "web mobile")


def test_several_keys_of_the_environment_all_verify(configured: Configured) -> None:
    """The old one and the new one while keys are replaced; of a certificate only the key counts."""
    user = claims(user={"id": "ada"})
    assert [status(configured.service, signer.sign(user)) for signer in CONFIGURED] == [200, 200, 200]
    other = Signer("RS256", key_id=None, name="of somebody else")
    assert logged(configured.service, other.sign(user), "foreign")["token_cause"] == "bad_signature"


def test_a_secret_that_is_base64_verifies_what_was_signed_with_its_bytes(configured: Configured) -> None:
    """And the log says so of a token that was signed with the text itself."""
    user = claims(user={"id": "ada"})
    assert status(configured.service, sign_hs256(user, SECRET_BYTES)) == 200
    refused = logged(configured.service, sign_hs256(user, BASE64_SECRET), "text")
    assert "JWT_SECRET_ENCODING" in refused["reason"]


def test_the_log_says_that_a_token_would_verify_with_the_decoded_secret(provided: TokenService) -> None:
    assert status(provided, sign_hs256(claims(aud="web"), BASE64_SECRET)) == 200
    refused = logged(provided, sign_hs256(claims(aud="web"), SECRET_BYTES), "decoded")
    assert refused["token_cause"] == "bad_signature"
    assert "JWT_SECRET_ENCODING" in refused["reason"]


@pytest.mark.parametrize("name", NOT_SIGNED)
def test_the_log_names_what_is_no_signed_jwt(configured: Configured, name: str) -> None:
    """Each has a remedy of its own; its sender is told what everybody is told."""
    token, cause, words = NOT_SIGNED[name]
    refused = logged(configured.service, token, name)
    assert refused["token_cause"] == cause
    assert words in refused["reason"]


def test_users_are_known_by_the_claim_that_names_them(configured: Configured) -> None:
    """Whatever the session that ``sub`` names: two sessions share what one user has left."""

    def left(**changes: Any) -> int:
        answer = configured.service.token(jwt=sign_hs256(claims(**changes), SECRET_BYTES))
        return int(answer.headers["RateLimit"].partition("r=")[2].partition(";")[0])

    first = left(user={"id": 42}, sub="session-1")
    assert left(user={"id": 42}, sub="session-2") == first - 1
    assert left(user={"id": 43}, sub="session-1") == first
    assert (
        logged(configured.service, sign_hs256(claims(), SECRET_BYTES), "nobody")["token_cause"]
        == "bad_subject"
    )


def test_keycloaks_roles_name_a_tier_and_the_one_written_first_holds(configured: Configured) -> None:
    def limit_of(*roles: str) -> str:
        found = {"iss": configured.realm, "user": {"id": "-".join(roles)}, "realm_access": {"roles": roles}}
        return limit(configured.service, REALMS_KEY.sign(claims(**found)))

    assert "q=70000;w=3600" in limit_of("offline_access", "plus", "pro")
    assert "q=60000;w=3600" in limit_of("plus")
    assert "q=100000;w=86400" in limit_of("offline_access")


def test_a_key_vouches_for_its_own_issuer_alone(configured: Configured) -> None:
    """Neither may the realm sign in as our own users, nor our own keys as the realm's."""
    own, realms = claims(user={"id": "ada"}), claims(iss=configured.realm, user={"id": "ada"})
    assert status(configured.service, REALMS_KEY.sign(realms)) == 200
    assert logged(configured.service, REALMS_KEY.sign(own), "realm")["token_issuer"] == ISSUER
    assert logged(configured.service, CONFIGURED[0].sign(realms), "own")["token_issuer"] == configured.realm


def test_a_tier_is_found_below_a_claim_whose_name_is_a_url(provided: TokenService) -> None:
    """The name's own dots do not divide it."""
    token = PUBLISHED["RS256"].sign(claims(aud="web", sub="grace", **{PLAN_CLAIM: {"names": ["plus"]}}))
    assert "q=60000;w=3600" in limit(provided, token)


def test_googles_two_spellings_of_its_issuer_are_one_user_and_each_app_has_a_client_id(
    sandbox: Sandbox,
) -> None:
    signer = Signer()
    with (
        identity_provider(signer) as provider,
        running_service(
            sandbox.base_url,
            AUTH_PROVIDER="google:web.apps.googleusercontent.com,ios.apps.googleusercontent.com",
            JWT_JWKS_URL=provider.url,
            **dict.fromkeys(("JWT_SECRET", "JWT_ISSUER", "JWT_AUDIENCE"), ""),
            RATE_LIMIT_PER_USER="2/day",
        ) as service,
    ):
        spellings = ("accounts.google.com", "https://accounts.google.com") * 2
        apps = ("web", "ios", "ios", "android")
        tokens = [
            signer.sign(claims(iss=issuer, aud=f"{app}.apps.googleusercontent.com"))
            for issuer, app in zip(spellings, apps, strict=True)
        ]
        assert [status(service, token) for token in tokens] == [200, 200, 429, 401]
