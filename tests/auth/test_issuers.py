"""Several issuers and audiences, and issuers whose keys are found by OpenID discovery. Real sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.auth.jwks import MAX_WAITING, JwksKeys, Timing
from service.auth.jwks_fetch import MAX_BYTES, KeySetLocation, metadata_urls, read_jwks_uri
from service.auth.key_set import KeySetError
from service.auth.settings import AuthSettings
from service.core.environment import ConfigurationError
from service.core.errors import IdentityProviderUnavailableError
from service.vendors.network import Network
from tests.support.authentication import Clock, sign_in_from
from tests.support.identity_provider import IdentityProvider, Signer, identity_provider, page, sign_hs256
from tests.support.tokens import SECRET, claims

FIRST = Signer(key_id="first")
SECOND = Signer("ES256", key_id="second")
METADATA = "/.well-known/openid-configuration"


@pytest.fixture
def first() -> Iterator[IdentityProvider]:
    """An issuer that can be discovered."""
    with identity_provider(FIRST) as provider:
        provider.describe()
        yield provider


@pytest.fixture
def second() -> Iterator[IdentityProvider]:
    """Another one."""
    with identity_provider(SECOND) as provider:
        provider.describe()
        yield provider


def reason(issuer: str, **timing: Any) -> str:
    """Fail to fetch an issuer's key set, and return what the log learns."""
    keys = JwksKeys(KeySetLocation(issuer=issuer), network=Network(), clock=Clock(), timing=Timing(**timing))
    with pytest.raises(IdentityProviderUnavailableError) as refused:
        list(keys.candidates({"alg": "RS256", "kid": "first"}))
    return str(refused.value.reason)


def test_an_issuer_alone_is_enough(first: IdentityProvider) -> None:
    """``JWT_ISSUER`` and ``JWT_AUDIENCE``: the key set is found by OpenID discovery, at the first token."""
    sign_in = sign_in_from(JWT_ISSUER=first.issuer, JWT_AUDIENCE="token-service")
    assert first.paths == []
    for _ in range(20):
        sign_in.accepts(FIRST.sign(claims(iss=first.issuer)))
    assert first.paths == [METADATA, "/.well-known/jwks.json"]


def test_a_rotated_key_of_a_discovered_issuer_is_found(first: IdentityProvider) -> None:
    """Where it has moved its key set as well."""
    sign_in = sign_in_from(JWT_ISSUER=first.issuer, JWT_AUDIENCE="token-service")
    sign_in.accepts(FIRST.sign(claims(iss=first.issuer)))
    first.describe(jwks_uri=f"{first.issuer}/moved")
    first.pages["/moved"] = page({"keys": [SECOND.jwk()]})
    sign_in.accepts(SECOND.sign(claims(iss=first.issuer)))


def test_users_of_two_issuers_are_two_users(first: IdentityProvider, second: IdentityProvider) -> None:
    """Each issuer gives out its own ``sub``, and nobody keeps two of them from choosing the same."""
    sign_in = sign_in_from(JWT_ISSUER=f"{first.issuer}, {second.issuer}", JWT_AUDIENCE="token-service")
    ada = sign_in.accepts(FIRST.sign(claims(iss=first.issuer)))
    other_ada = sign_in.accepts(SECOND.sign(claims(iss=second.issuer)))
    assert (ada.issuer, other_ada.issuer) == (first.issuer, second.issuer)
    assert ada.pseudonym != other_ada.pseudonym


def test_a_key_is_trusted_for_its_own_issuer_only(first: IdentityProvider, second: IdentityProvider) -> None:
    """Or the staging issuer could sign in as anybody in production."""
    sign_in = sign_in_from(JWT_ISSUER=f"{first.issuer},{second.issuer}", JWT_AUDIENCE="token-service")
    sign_in.accepts(FIRST.sign(claims(iss=first.issuer)))
    assert sign_in.cause(SECOND.sign(claims(iss=first.issuer))) == "unknown_key"
    assert sign_in.cause(FIRST.sign(claims(iss=second.issuer))) == "unknown_key"
    assert sign_in.cause(FIRST.sign(claims(iss=first.issuer), kid="second")) == "unknown_key"


def test_one_issuers_outage_is_its_own(first: IdentityProvider, second: IdentityProvider) -> None:
    """The others' users do not notice."""
    sign_in = sign_in_from(JWT_ISSUER=f"{first.issuer},{second.issuer}", JWT_AUDIENCE="token-service")
    first.pages[METADATA] = page(b"down", status=500)
    with pytest.raises(IdentityProviderUnavailableError):
        sign_in.accepts(FIRST.sign(claims(iss=first.issuer)))
    sign_in.accepts(SECOND.sign(claims(iss=second.issuer)))


def test_a_token_of_a_strange_issuer_asks_nobody(first: IdentityProvider) -> None:
    """Its keys would not be trusted anyway, and nobody can make us fetch."""
    sign_in = sign_in_from(JWT_ISSUER=first.issuer, JWT_AUDIENCE="token-service")
    for issuer in ("https://issuer.test", f"{first.issuer}/", None, [first.issuer]):
        assert sign_in.cause(FIRST.sign(claims(iss=issuer))) == "wrong_issuer"
    assert first.paths == []


def test_any_of_several_audiences_is_enough() -> None:
    """A bundle id and a services id, or the client ids of web and mobile."""
    sign_in = sign_in_from(JWT_SECRET=SECRET, JWT_ISSUER="https://issuer.test", JWT_AUDIENCE="web, mobile")
    for audience in ("web", "mobile", ["other", "mobile"]):
        sign_in.accepts(sign_hs256(claims(aud=audience), SECRET))
    refused = sign_in.rejects(sign_hs256(claims(aud="desktop"), SECRET))
    assert (refused.seen["cause"], refused.seen["expected_audience"]) == ("wrong_audience", "web mobile")


def test_one_key_may_serve_several_issuers() -> None:
    """Where it is the only source of keys; their users are told apart all the same."""
    both = sign_in_from(JWT_SECRET=SECRET, JWT_ISSUER="old,new", JWT_AUDIENCE="token-service")
    callers = [both.accepts(sign_hs256(claims(iss=issuer), SECRET)) for issuer in ("old", "new")]
    assert callers[0].pseudonym != callers[1].pseudonym
    refused = both.rejects(sign_hs256(claims(iss="old,new"), SECRET))
    assert refused.seen["expected_issuer"] == "old new"


def test_a_development_secret_beside_a_preset_is_trusted_for_its_own_issuer(second: IdentityProvider) -> None:
    """``JWT_ISSUER`` lists both; the secret cannot sign in as one of the provider's users."""
    both = sign_in_from(
        AUTH_PROVIDER="firebase:app",
        JWT_JWKS_URL=second.url,
        JWT_SECRET=SECRET,
        JWT_ALLOW_MULTIPLE="1",
        JWT_ISSUER="https://securetoken.google.com/app,https://dev.test",
        JWT_AUDIENCE="app",
    )
    both.accepts(sign_hs256(claims(iss="https://dev.test", aud="app"), SECRET))
    stolen = claims(iss="https://securetoken.google.com/app", aud="app")
    assert both.cause(sign_hs256(stolen, SECRET)) == "unknown_key"


def test_an_issuer_beside_a_preset_finds_its_own_keys(first: IdentityProvider) -> None:
    """And is held to the common rules; the preset's checks are for what the preset's keys sign."""
    both = sign_in_from(
        AUTH_PROVIDER="cognito:eu-west-1/pool/app",
        JWT_ISSUER=f"https://cognito-idp.eu-west-1.amazonaws.com/pool,{first.issuer}",
        JWT_AUDIENCE="app",
    )
    both.accepts(FIRST.sign(claims(iss=first.issuer, aud="app")))
    assert both.cause(FIRST.sign(claims(iss=first.issuer, aud="other"))) == "wrong_audience"


def test_an_issuer_beside_a_preset_needs_an_audience() -> None:
    """Clerk's tokens carry none, other issuers' must: else any app's token would do."""
    with pytest.raises(ConfigurationError, match="JWT_AUDIENCE: is required"):
        AuthSettings.from_environ(
            {"AUTH_PROVIDER": "clerk:clerk.test", "JWT_ISSUER": "https://clerk.test,https://issuer.test"}
        )


@pytest.mark.parametrize(
    "issuer", ["my-issuer", "http://keycloak:8080/realms/acme", "https://issuer.test?x=1"]
)
def test_an_issuer_whose_keys_cannot_be_found_stops_the_start(issuer: str) -> None:
    """With what would help; where a source of keys is set, an issuer may be any string."""
    environ = {"JWT_ISSUER": f"https://issuer.test,{issuer}", "JWT_AUDIENCE": "token-service"}
    with pytest.raises(
        ConfigurationError, match=r"JWT_ISSUER: no source of keys is set.*set one of AUTH_PROVIDER"
    ):
        AuthSettings.from_environ(environ)
    AuthSettings.from_environ({**environ, "JWT_SECRET": SECRET})


def test_a_users_namespace_must_be_said_where_there_are_several() -> None:
    """``limits --user`` and revocations name one user."""
    several = AuthSettings.from_environ(
        {"JWT_SECRET": SECRET, "JWT_ISSUER": "old,new", "JWT_AUDIENCE": "app"}
    )
    with pytest.raises(ValueError, match="name one: old, new"):
        several.user_namespace()
    assert several.user_namespace("new") == "new"
    google = AuthSettings.from_environ({"AUTH_PROVIDER": "google:a"})
    assert (
        google.user_namespace()
        == google.user_namespace("accounts.google.com")
        == "https://accounts.google.com"
    )


@pytest.mark.parametrize("named", ["{}/", "{}/other", "https://issuer.test", None, 7])
def test_metadata_of_another_issuer_is_refused(first: IdentityProvider, named: Any) -> None:
    """RFC 8414 §3.3: whoever can put a page there must not name the keys; a slash too many is told as such."""
    first.describe(issuer=named.format(first.issuer) if isinstance(named, str) else named)
    said = reason(first.issuer)
    assert "is of another issuer" in said
    assert first.issuer in said
    assert first.paths == [METADATA]


@pytest.mark.parametrize(
    ("jwks_uri", "words"),
    [
        (None, "no jwks_uri"),
        (7, "no jwks_uri"),
        ("", "whole URL"),
        ("/keys", "whole URL"),
        ("http://issuer.test/keys", "must begin with https://"),
        ("file:///etc/passwd", "whole URL"),
        ("https://user:password@issuer.test/keys", "no user name or password"),
    ],
)
def test_a_jwks_uri_that_cannot_be_trusted_is_refused(
    first: IdentityProvider, jwks_uri: Any, words: str
) -> None:
    """It comes over TLS like the rest."""
    first.describe(jwks_uri=jwks_uri)
    assert words in reason(first.issuer)


def test_an_issuer_on_https_keeps_its_keys_there() -> None:
    """Not on this machine's loopback, where somebody else may listen."""
    metadata = {"issuer": "https://issuer.test", "jwks_uri": "http://127.0.0.1:9/keys"}
    with pytest.raises(KeySetError, match="must begin with https://"):
        read_jwks_uri(json.dumps(metadata).encode(), "https://issuer.test")


def test_metadata_where_rfc_8414_puts_it_is_found() -> None:
    """Before the issuer's path, for authorization servers without OpenID."""
    with identity_provider(FIRST) as provider:
        issuer = f"{provider.issuer}/tenant"
        provider.pages[f"/tenant{METADATA}"] = page(b"", status=404)
        provider.describe("/.well-known/oauth-authorization-server/tenant", issuer=issuer)
        sign_in_from(JWT_ISSUER=issuer, JWT_AUDIENCE="token-service").accepts(FIRST.sign(claims(iss=issuer)))


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (
            "https://a.test/",
            (
                "https://a.test/.well-known/openid-configuration",
                "https://a.test/.well-known/oauth-authorization-server",
            ),
        ),
        (
            "https://a.test:8443/x/y",
            (
                "https://a.test:8443/x/y/.well-known/openid-configuration",
                "https://a.test:8443/.well-known/oauth-authorization-server/x/y",
            ),
        ),
    ],
)
def test_the_places_of_metadata_follow_from_the_issuer(issuer: str, urls: tuple[str, str]) -> None:
    """OpenID Connect Discovery §4.1, RFC 8414 §3.1."""
    assert metadata_urls(issuer) == urls


def test_discovery_is_bounded_as_a_key_set_is(first: IdentityProvider) -> None:
    """In size, in time, and redirects lead nowhere."""
    first.pages[METADATA] = page(b" " * (MAX_BYTES + 1))
    assert "larger than" in reason(first.issuer)
    first.pages[METADATA] = page(b"", status=302, Location=first.url)
    assert "redirects are not followed" in reason(first.issuer)
    first.pages[METADATA] = page(b"<html>")
    assert "the issuer's metadata is not JSON" in reason(first.issuer)
    del first.pages[METADATA]
    first.drip(20)
    started = time.monotonic()
    assert "no whole answer within 0.4 s" in reason(first.issuer, fetch_deadline=0.4)
    assert time.monotonic() - started < 2
    assert MAX_WAITING == 100
