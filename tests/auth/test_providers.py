"""Each preset against tokens as its provider signs them, header and claims as its documentation shows.

The key sets come over real sockets, from a loopback address in place of the provider's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.auth.authenticator import TrustedIssuer
from service.auth.jwks import JwksKeys
from service.auth.jwks_fetch import KeySetLocation
from service.auth.keys import PUBLIC_KEY_ALGORITHMS, StaticKeys, load_secret
from service.auth.providers import Provider, parse_provider
from service.core.errors import IdentityProviderUnavailableError
from service.vendors.network import Network
from tests.support.authentication import NOW, Clock, SignIn, rules, sign_in, sign_in_trusting
from tests.support.forks import Commands
from tests.support.identity_provider import IdentityProvider, Signer, identity_provider, sign_hs256
from tests.support.processes import bare_environ

AUTH0 = "auth0:my-domain.auth0.com"
FIREBASE = "firebase:my-project"
COGNITO = "cognito:us-east-1/us-east-1_EXAMPLE/1example23456789"
SUPABASE = "supabase:abcdefghijklmnopqrst"
CLERK = "clerk:clerk.example.com"
TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
ENTRA = f"entra:{TENANT}"
GOOGLE = "google:1234987819200.apps.googleusercontent.com,9876.apps.googleusercontent.com"
APPLE = "apple:com.example.app,com.example.web"
KEYCLOAK = "keycloak:https://sso.example.com/acme"
OKTA = "okta:acme.okta.com/default"
PRESETS = [AUTH0, FIREBASE, COGNITO, SUPABASE, CLERK, ENTRA, GOOGLE, APPLE, KEYCLOAK, OKTA]
API = "https://api.example.com"

SIGNERS = {
    AUTH0: Signer("RS256", key_id="RkJDMzQ1"),
    FIREBASE: Signer("RS256", key_id="f90fb1ae048a548fb681ad6092b0b869ea467ac6"),
    COGNITO: Signer("RS256", key_id="1234example="),
    SUPABASE: Signer("ES256", key_id="b81269f1-21d8-4f2e-b719-c2240a840d90"),
    CLERK: Signer("RS256", key_id="ins_2GIoQhbUpy0hX7B2cVkuTMinXoD"),
    ENTRA: Signer("RS256", key_id="nOo3ZDrODXEK1jKWhXslHR_KXEg"),
    GOOGLE: Signer("RS256", key_id="b6f8d55da534ea91cb2cb00e1af4e8e0cdeca93d"),
    APPLE: Signer("RS256", key_id="E6q83RB15n"),
    KEYCLOAK: Signer("RS256", key_id="FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"),
    OKTA: Signer("RS256", key_id="U5R8cHbGw445Qbq8zVO1PcCpXL8yG6IcovVa3laCoxM"),
}

CLAIMS: dict[str, dict[str, Any]] = {
    # https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
    AUTH0: {
        "iss": "https://my-domain.auth0.com/",
        "sub": "auth0|123456",
        "aud": [API, "https://my-domain.auth0.com/userinfo"],
        "azp": "my_client_id",
        "exp": NOW + 86_400,
        "iat": NOW,
        "scope": "openid profile read:admin",
    },
    # https://firebase.google.com/docs/auth/admin/verify-id-tokens
    FIREBASE: {
        "iss": "https://securetoken.google.com/my-project",
        "aud": "my-project",
        "auth_time": NOW - 60,
        "user_id": "xQ2bJ0sTq1",
        "sub": "xQ2bJ0sTq1",
        "iat": NOW,
        "exp": NOW + 3600,
        "email": "ada@example.com",
        "email_verified": True,
        "firebase": {"identities": {"email": ["ada@example.com"]}, "sign_in_provider": "password"},
    },
    # https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
    COGNITO: {
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "device_key": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "cognito:groups": ["admin"],
        "iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE",
        "version": 2,
        "client_id": "1example23456789",
        "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "event_id": "64f513be-32db-42b0-b78e-b02127b4f463",
        "token_use": "access",
        "scope": "phone openid profile email",
        "auth_time": NOW - 60,
        "exp": NOW + 3600,
        "iat": NOW,
        "jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "username": "my-test-user",
    },
    # https://supabase.com/docs/guides/auth/jwt-fields
    SUPABASE: {
        "iss": "https://abcdefghijklmnopqrst.supabase.co/auth/v1",
        "aud": "authenticated",
        "exp": NOW + 3600,
        "iat": NOW,
        "sub": "123e4567-e89b-12d3-a456-426614174000",
        "role": "authenticated",
        "aal": "aal1",
        "session_id": "c1b2a3d4-0000-4000-8000-123456789abc",
        "email": "ada@example.com",
        "phone": "",
        "is_anonymous": False,
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {},
        "amr": [{"method": "password", "timestamp": NOW}],
    },
    # https://clerk.com/docs/backend-requests/resources/session-tokens
    CLERK: {
        "azp": "https://example.com",
        "exp": NOW + 60,
        "fva": [0, -1],
        "iat": NOW,
        "iss": "https://clerk.example.com",
        "jti": "a1b2c3d4e5f6",
        "nbf": NOW - 10,
        "sid": "sess_123",
        "sts": "active",
        "sub": "user_123",
        "v": 2,
    },
    # https://learn.microsoft.com/en-us/entra/identity-platform/access-tokens (version 2)
    ENTRA: {
        "aud": API,
        "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 4_000,
        "azp": "00001111-aaaa-2222-bbbb-3333cccc4444",
        "azpacr": "0",
        "oid": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb",
        "scp": "access_as_user",
        "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        "tid": TENANT,
        "ver": "2.0",
    },
    # https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload
    GOOGLE: {
        "iss": "https://accounts.google.com",
        "azp": "1234987819200.apps.googleusercontent.com",
        "aud": "1234987819200.apps.googleusercontent.com",
        "sub": "10769150350006150715113082367",
        "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
        "hd": "example.com",
        "email": "jsmith@example.com",
        "email_verified": True,
        "iat": NOW,
        "exp": NOW + 3600,
        "nonce": "0394852-3190485-2490358",
    },
    # https://developer.apple.com/documentation/signinwithapple/authenticating-users-with-sign-in-with-apple
    APPLE: {
        "iss": "https://appleid.apple.com",
        "aud": "com.example.app",
        "exp": NOW + 86_400,
        "iat": NOW,
        "sub": "001999.f2c0d91a0ba04ea6b0b4b5a1c1c1d3f5.1546",
        "c_hash": "2yGGqyjyVxb0AkeRbB1x1g",
        "auth_time": NOW,
        "nonce_supported": True,
    },
    # https://www.keycloak.org/docs/latest/server_admin/#_client_scopes
    KEYCLOAK: {
        "exp": NOW + 300,
        "iat": NOW,
        "auth_time": NOW,
        "jti": "onrtac:2c8a3a1c-2f6d-4f6c-9d2e-6d3a8c1f5b7e",
        "iss": "https://sso.example.com/realms/acme",
        "aud": [API, "account"],
        "sub": "f1c7d5a0-5f2b-4a5e-9a6f-0c7f0e1a2b3c",
        "typ": "Bearer",
        "azp": "my-app",
        "sid": "0f1d2c3b-4a59-4877-9687-a5b4c3d2e1f0",
        "realm_access": {"roles": ["offline_access", "user"]},
        "scope": "openid profile email",
        "preferred_username": "ada",
    },
    # https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/#access-token
    OKTA: {
        "ver": 1,
        "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "iss": "https://acme.okta.com/oauth2/default",
        "aud": API,
        "sub": "user@example.com",
        "iat": NOW,
        "exp": NOW + 3600,
        "cid": "nmdP1fcyvdVO11AL7ECm",
        "uid": "00ujmkLgagxeRrAg20g3",
        "scp": ["openid", "email"],
    },
}

HEADERS: dict[str, dict[str, Any]] = {
    AUTH0: {"typ": "JWT"},
    FIREBASE: {"typ": "JWT"},
    COGNITO: {"typ": None},
    SUPABASE: {"typ": "JWT"},
    CLERK: {"typ": "JWT", "cat": "cl_B7d4PD111AAA"},
    ENTRA: {"typ": "JWT"},
    GOOGLE: {"typ": "JWT"},
    APPLE: {"typ": None},
    KEYCLOAK: {"typ": "JWT"},
    OKTA: {"typ": None},
}

# A Cognito identity token: https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-id-token.html
COGNITO_ID = {
    **{name: CLAIMS[COGNITO][name] for name in ("iss", "sub", "iat", "exp", "auth_time", "cognito:groups")},
    "aud": "1example23456789",
    "token_use": "id",
    "cognito:username": "my-test-user",
    "email": "ada@example.com",
}


@pytest.fixture(scope="module")
def publisher() -> Iterator[IdentityProvider]:
    """One server that publishes every provider's key; the tests do not bend it."""
    with identity_provider(*SIGNERS.values()) as publisher:
        yield publisher


class Preset:
    """A preset, its keys served from loopback, and tokens as its provider signs them."""

    def __init__(self, name: str, publisher: IdentityProvider, **rules: Any) -> None:
        self.name = name
        self.provider: Provider = parse_provider(name)
        self.keys = JwksKeys(
            KeySetLocation(url=publisher.url),
            network=Network(),
            algorithms=self.provider.algorithms,
            clock=Clock(),
        )
        self.sign_in: SignIn = sign_in(self.keys, provider=self.provider, **self._rules(rules))

    def _rules(self, rules: dict[str, Any]) -> dict[str, Any]:
        return {"audiences": (API,), **rules} if self.provider.audience_required else rules

    def token(self, _header: dict[str, Any] | None = None, **changes: Any) -> str:
        """Sign as the provider does, wrong in just what is given; ``None`` takes a claim out."""
        claims = {**CLAIMS[self.name], **changes}
        kept = {name: value for name, value in claims.items() if value is not None}
        return SIGNERS[self.name].sign(kept, **{**HEADERS[self.name], **(_header or {})})


@pytest.mark.parametrize("name", PRESETS)
def test_a_users_token_is_admitted(name: str, publisher: IdentityProvider) -> None:
    """One variable connects the provider; for Auth0 the audience must be said too."""
    preset = Preset(name, publisher)
    caller = preset.sign_in.accepts(preset.token())
    assert (caller.subject, caller.issuer) == (CLAIMS[name]["sub"], CLAIMS[name]["iss"])


@pytest.mark.parametrize("name", PRESETS)
def test_check_accepts_a_users_token_of_a_provider_that_one_variable_connects(
    name: str, publisher: IdentityProvider, commands: Commands, tmp_path: Path
) -> None:
    """The variable as it is, but for the key set's address; and never prints the token."""
    preset, later = Preset(name, publisher), int(time.time()) - NOW
    dates = {claim: CLAIMS[name][claim] + later for claim in ("exp", "iat", "nbf") if claim in CLAIMS[name]}
    token, file = preset.token(**dates), tmp_path / "token"
    file.write_text(token)
    variables = {"AUTH_PROVIDER": name, "JWT_JWKS_URL": publisher.url}
    variables |= {"JWT_AUDIENCE": API} if preset.provider.audience_required else {}
    done = commands.run("check", "--token", str(file), environ=bare_environ(**variables))
    assert done.stdout.endswith("✓ This token is accepted.\n"), done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert all(part not in done.stdout for part in token.split("."))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"iss": "https://issuer.test/"}, "wrong_issuer"),
        ({"aud": "another-app"}, "wrong_audience"),
        ({"exp": NOW - 3600, "iat": NOW - 7200}, "expired"),
        ({"sub": ""}, "bad_subject"),
        ({"iat": NOW - 1, "exp": NOW + 86_400}, "lives_too_long"),
    ],
)
def test_the_common_rules_hold_for_every_preset(
    name: str, changes: dict[str, Any], cause: str, publisher: IdentityProvider
) -> None:
    """A preset adds to the rules and takes none away."""
    preset = Preset(name, publisher)
    assert preset.sign_in.cause(preset.token(**changes)) == cause


@pytest.mark.parametrize("name", PRESETS)
def test_another_tenants_token_is_refused(name: str, publisher: IdentityProvider) -> None:
    """Firebase signs every project's tokens with the same keys; only the claims tell them apart."""
    others = {
        AUTH0: "auth0:other.auth0.com",
        FIREBASE: "firebase:other-project",
        COGNITO: "cognito:us-east-1/us-east-1_OTHER/1example23456789",
        SUPABASE: "supabase:other",
        CLERK: "clerk:clerk.other.com",
        ENTRA: "entra:aaaabbbb-0000-cccc-1111-dddd2222ffff",
        KEYCLOAK: "keycloak:https://sso.example.com/other",
        OKTA: "okta:acme.okta.com/other",
        GOOGLE: "google:another",
        APPLE: "apple:another",
    }
    has_one_issuer = name in {GOOGLE, APPLE}  # for everybody; the audience tells the apps apart
    stranger = Preset(others[name], publisher)
    expected = "wrong_audience" if has_one_issuer else "wrong_issuer"
    assert stranger.sign_in.cause(Preset(name, publisher).token()) == expected


@pytest.mark.parametrize("name", PRESETS)
def test_a_provider_signs_only_with_its_own_algorithms(name: str, publisher: IdentityProvider) -> None:
    """A key of another kind in the set is not its own."""
    preset = Preset(name, publisher)
    stray = Signer("ES384", key_id="stray")
    if name == KEYCLOAK:
        assert preset.provider.algorithms == PUBLIC_KEY_ALGORITHMS, "a realm may use any of them"
        return
    assert "ES384" not in preset.provider.algorithms
    assert preset.sign_in.cause(stray.sign(CLAIMS[name])) == "unknown_key"


@pytest.mark.parametrize("name", PRESETS)
def test_other_kinds_of_jwt_from_the_provider_are_refused(name: str, publisher: IdentityProvider) -> None:
    """RFC 8725 §3.11."""
    preset = Preset(name, publisher)
    assert preset.sign_in.cause(preset.token({"typ": "logout+jwt"})) == "wrong_type"


@pytest.mark.parametrize("name", PRESETS)
def test_a_provider_that_cannot_be_reached_signs_nobody_out(name: str) -> None:
    """A 503 until the first key set, since a 401 would make apps throw their sessions away."""
    with identity_provider() as gone:
        pass
    preset = Preset(name, gone)
    with pytest.raises(IdentityProviderUnavailableError):
        preset.sign_in.accepts(preset.token())


def test_auth0s_issuer_ends_in_a_slash(publisher: IdentityProvider) -> None:
    """And is compared with it."""
    preset = Preset(AUTH0, publisher)
    assert preset.provider.issuers[0] == "https://my-domain.auth0.com/"
    assert preset.sign_in.cause(preset.token(iss="https://my-domain.auth0.com")) == "wrong_issuer"


def test_auth0s_other_token_profile_is_admitted(publisher: IdentityProvider) -> None:
    """RFC 9068 access tokens: ``at+jwt``, ``client_id`` in place of ``azp``, a ``jti``."""
    preset = Preset(AUTH0, publisher)
    preset.sign_in.accepts(
        preset.token({"typ": "at+jwt"}, azp=None, client_id="my_client_id", jti="73WakrfVbNJB")
    )


def test_auth0_always_says_the_kind_of_token(publisher: IdentityProvider) -> None:
    """Both profiles set ``typ``, so a token without one is not from either."""
    preset = Preset(AUTH0, publisher)
    assert preset.sign_in.cause(preset.token({"typ": None})) == "wrong_type"


def test_auth0s_identity_tokens_are_not_for_an_api(publisher: IdentityProvider) -> None:
    """Their audience is the app, ours is the API."""
    preset = Preset(AUTH0, publisher)
    assert preset.sign_in.cause(preset.token(aud="my_client_id", nonce="n")) == "wrong_audience"


def test_auth0s_permissions_are_scopes(publisher: IdentityProvider) -> None:
    """With role-based access control they stand in ``permissions``."""
    preset = Preset(AUTH0, publisher, required_scope="realtime:mint")
    preset.sign_in.accepts(preset.token(permissions=["realtime:mint"]))


def test_firebases_anonymous_users_are_refused_unless_welcome(publisher: IdentityProvider) -> None:
    """Anybody can become one without an account, as often as wanted."""
    anonymous = {"provider_id": "anonymous", "firebase": {"identities": {}, "sign_in_provider": "anonymous"}}
    preset = Preset(FIREBASE, publisher)
    assert preset.sign_in.cause(preset.token(**anonymous)) == "anonymous"
    Preset(FIREBASE, publisher, allow_anonymous=True).sign_in.accepts(preset.token(**anonymous))


@pytest.mark.parametrize(
    "details", [None, {}, "password", {"sign_in_provider": None}, {"sign_in_provider": ["password"]}]
)
def test_a_firebase_token_says_how_its_user_signed_in(details: Any, publisher: IdentityProvider) -> None:
    """Where it does not, anonymous cannot be ruled out."""
    preset = Preset(FIREBASE, publisher)
    assert preset.sign_in.cause(preset.token(firebase=details)) == "unknown_sign_in"


def test_firebases_header_may_leave_out_the_type(publisher: IdentityProvider) -> None:
    """Its documentation asks of the header only ``alg`` and ``kid``."""
    preset = Preset(FIREBASE, publisher)
    preset.sign_in.accepts(preset.token({"typ": None}))


def test_cognitos_access_token_names_its_app_in_client_id(publisher: IdentityProvider) -> None:
    """It carries no ``aud``."""
    preset = Preset(COGNITO, publisher)
    assert preset.sign_in.cause(preset.token(client_id="another")) == "wrong_audience"
    assert preset.sign_in.cause(preset.token(client_id=None)) == "missing_claim"
    assert preset.sign_in.cause(preset.token(client_id=7)) == "wrong_claim_type"


def test_cognitos_identity_token_names_its_app_in_aud(publisher: IdentityProvider) -> None:
    """And there a ``client_id`` counts for nothing."""
    preset, signer = Preset(COGNITO, publisher), SIGNERS[COGNITO]
    preset.sign_in.accepts(signer.sign(COGNITO_ID, typ=None))
    stranger = {**COGNITO_ID, "aud": "another", "client_id": "1example23456789"}
    assert preset.sign_in.cause(signer.sign(stranger, typ=None)) == "wrong_audience"
    without = {name: value for name, value in stranger.items() if name != "aud"}
    assert preset.sign_in.cause(signer.sign(without, typ=None)) == "missing_claim"


@pytest.mark.parametrize("use", [None, "refresh", "", "ACCESS", ["access"]])
def test_cognitos_tokens_say_their_use(use: Any, publisher: IdentityProvider) -> None:
    """``access`` or ``id``, and nothing else."""
    preset = Preset(COGNITO, publisher)
    assert preset.sign_in.cause(preset.token(token_use=use, aud="1example23456789")) == "wrong_token_use"


def test_cognitos_resource_binding_is_honoured(publisher: IdentityProvider) -> None:
    """A bound access token names the API in ``aud``: ours where ``JWT_AUDIENCE`` says so, by our app only."""
    bound = Preset(COGNITO, publisher, audiences=(API,))
    bound.sign_in.accepts(bound.token(aud=API))
    assert bound.sign_in.cause(bound.token(aud=API, client_id="another")) == "wrong_client"
    assert bound.sign_in.cause(bound.token()) == "wrong_audience"
    assert Preset(COGNITO, publisher).sign_in.cause(bound.token(aud=API)) == "wrong_audience"


@pytest.mark.parametrize("role", ["anon", "service_role", "supabase_admin", "", None, 1])
def test_supabases_api_keys_are_no_users(role: Any, publisher: IdentityProvider) -> None:
    """``anon`` is printed in every app, ``service_role`` bypasses every rule; both are JWTs."""
    preset = Preset(SUPABASE, publisher)
    assert preset.sign_in.cause(preset.token(role=role)) == "wrong_role"


@pytest.mark.parametrize("flag", [True, "true", 1, 0])
def test_supabases_anonymous_users_are_refused_unless_welcome(flag: Any, publisher: IdentityProvider) -> None:
    """Their role is ``authenticated`` too."""
    preset = Preset(SUPABASE, publisher)
    assert preset.sign_in.cause(preset.token(is_anonymous=flag)) == "anonymous"
    Preset(SUPABASE, publisher, allow_anonymous=True).sign_in.accepts(preset.token(is_anonymous=flag))
    preset.sign_in.accepts(preset.token(is_anonymous=None))


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_supabases_signing_keys_are_of_several_kinds(algorithm: str) -> None:
    """A project chooses its key."""
    signer = Signer(algorithm)
    with identity_provider(signer) as publisher:
        Preset(SUPABASE, publisher).sign_in.accepts(signer.sign(CLAIMS[SUPABASE]))


def test_supabases_legacy_secret_stands_beside_its_preset(publisher: IdentityProvider) -> None:
    """``JWT_SECRET``: users' HS256 tokens are admitted, and the legacy API keys under the same secret are not."""
    secret, preset = "a-legacy-secret-of-a-supabase-project", Preset(SUPABASE, publisher)
    both = sign_in(StaticKeys((load_secret(secret),)), preset.keys, provider=preset.provider)
    both.accepts(preset.token())
    both.accepts(sign_hs256(CLAIMS[SUPABASE], secret))
    assert both.cause(sign_hs256({**CLAIMS[SUPABASE], "role": "service_role"}, secret)) == "wrong_role"
    legacy = {"iss": "supabase", "ref": "abcdefghijklmnopqrst", "role": "anon", "iat": NOW, "exp": NOW + 3600}
    assert both.cause(sign_hs256(legacy, secret)) == "wrong_issuer"


def test_clerks_authorized_parties_are_origins(publisher: IdentityProvider) -> None:
    """``azp`` is the origin that signed in; a native app's token has none, which ``-`` admits."""
    parties = ("https://example.com", "http://localhost:3000")
    preset = Preset(CLERK, publisher, authorized_parties=parties)
    preset.sign_in.accepts(preset.token())
    assert preset.sign_in.cause(preset.token(azp=None)) == "wrong_party"
    Preset(CLERK, publisher, authorized_parties=(*parties, "-")).sign_in.accepts(preset.token(azp=None))
    assert preset.sign_in.cause(preset.token(azp="https://evil.example.com")) == "wrong_party"


def test_clerks_audience_is_checked_where_there_is_one(publisher: IdentityProvider) -> None:
    """By default there is none; a token for somebody else names that somebody (RFC 7519 §4.1.3)."""
    preset = Preset(CLERK, publisher)
    assert preset.sign_in.cause(preset.token(aud="billing")) == "wrong_audience"
    with_audience = Preset(CLERK, publisher, audiences=("realtime",))
    with_audience.sign_in.accepts(preset.token(aud="realtime"))
    assert with_audience.sign_in.cause(preset.token()) == "missing_claim"


@pytest.mark.parametrize("status", ["pending", "", None, 1])
def test_clerks_pending_sessions_are_refused(status: Any, publisher: IdentityProvider) -> None:
    """Signed in, with a step left to do; tokens from before there was ``sts`` pass."""
    preset = Preset(CLERK, publisher)
    if status is None:
        preset.sign_in.accepts(preset.token(sts=status))
    else:
        assert preset.sign_in.cause(preset.token(sts=status)) == "pending_session"


def test_the_admins_own_tokens_beside_a_provider_need_not_look_like_the_providers(
    publisher: IdentityProvider,
) -> None:
    """``JWT_ALLOW_MULTIPLE``: a development token has no ``token_use``; issuer and audience still hold."""
    secret, preset = "an-admins-own-development-secret-", Preset(COGNITO, publisher)
    own_rules = rules(issuers=preset.provider.issuers, audiences=preset.provider.audiences)
    both = sign_in_trusting(
        TrustedIssuer(StaticKeys((load_secret(secret),)), own_rules),
        TrustedIssuer(preset.keys, rules(preset.provider)),
    )
    own = {
        "iss": preset.provider.issuers[0],
        "aud": preset.provider.audiences[0],
        "sub": "ada",
        "exp": NOW + 60,
    }
    both.accepts(sign_hs256(own, secret))
    assert both.cause(sign_hs256({**own, "iss": "https://issuer.test/"}, secret)) == "wrong_issuer"
    assert both.cause(SIGNERS[COGNITO].sign(own)) == "wrong_token_use"


def test_explicit_variables_override_a_preset(publisher: IdentityProvider) -> None:
    """``JWT_ISSUER`` for a custom domain, ``JWT_AUDIENCE`` for another app; the traps stay."""
    provider = parse_provider(SUPABASE)
    custom = sign_in(
        Preset(SUPABASE, publisher).keys,
        provider=provider,
        issuers=("https://auth.example.com",),
        audiences=("app",),
    )
    changed = {**CLAIMS[SUPABASE], "iss": "https://auth.example.com", "aud": "app"}
    signer = replace(SIGNERS[SUPABASE])
    assert custom.accepts(signer.sign(changed)).issuer == "https://auth.example.com"
    assert custom.cause(signer.sign({**changed, "role": "anon"})) == "wrong_role"


@pytest.mark.parametrize(
    ("text", "issuer", "jwks_url"),
    [
        (AUTH0, "https://my-domain.auth0.com/", "https://my-domain.auth0.com/.well-known/jwks.json"),
        (
            FIREBASE,
            "https://securetoken.google.com/my-project",
            "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
        ),
        (
            COGNITO,
            "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE",
            "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE/.well-known/jwks.json",
        ),
        (
            SUPABASE,
            "https://abcdefghijklmnopqrst.supabase.co/auth/v1",
            "https://abcdefghijklmnopqrst.supabase.co/auth/v1/.well-known/jwks.json",
        ),
        (CLERK, "https://clerk.example.com", "https://clerk.example.com/.well-known/jwks.json"),
        (
            ENTRA,
            f"https://login.microsoftonline.com/{TENANT}/v2.0",
            f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys",
        ),
        (GOOGLE, "https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs"),
        (APPLE, "https://appleid.apple.com", "https://appleid.apple.com/auth/keys"),
        (
            KEYCLOAK,
            "https://sso.example.com/realms/acme",
            "https://sso.example.com/realms/acme/protocol/openid-connect/certs",
        ),
        (
            "keycloak:sso.example.com:8443/auth/acme",
            "https://sso.example.com:8443/auth/realms/acme",
            "https://sso.example.com:8443/auth/realms/acme/protocol/openid-connect/certs",
        ),
        (OKTA, "https://acme.okta.com/oauth2/default", "https://acme.okta.com/oauth2/default/v1/keys"),
        ("okta:acme.okta.com", "https://acme.okta.com", "https://acme.okta.com/oauth2/v1/keys"),
    ],
)
def test_a_preset_knows_issuer_and_key_set(text: str, issuer: str, jwks_url: str) -> None:
    """As each provider documents them."""
    provider = parse_provider(text)
    assert (provider.issuers[0], provider.jwks_url) == (issuer, jwks_url)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ping:example.com",
        "okta:https://acme.okta.com",
        "okta:acme.okta.com/oauth2/default",
        "entra:common",
        "entra:acme.onmicrosoft.com",
        "entra:https://login.microsoftonline.com/common",
        "google:",
        "google:a b",
        "apple:,",
        "keycloak:acme",
        "keycloak:https://sso.example.com/realms/acme",
        "auth0",
        "auth0:",
        "auth0:https://my-domain.auth0.com",
        "auth0:my-domain.auth0.com/",
        "auth0:evil.com#my-domain.auth0.com",
        "firebase:my project",
        "firebase:a/b",
        "cognito:us-east-1/pool",
        "cognito:us-east-1/pool/client/more",
        "supabase:abc.supabase.co",
        "clerk:user@clerk.example.com",
        "clerk:clerk.example.com/\n",
    ],
)
def test_a_wrong_preset_says_its_right_form(text: str) -> None:
    """A domain too many or a part too few would make an issuer that no token has."""
    with pytest.raises(ValueError, match=r"must be one of|must have the form"):
        parse_provider(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("auth0:https://my-domain.auth0.com", "leave out https://"),
        ("okta:https://acme.okta.com", "leave out https://"),
        ("clerk:clerk.example.com/", "leave out the slash"),
        ("keycloak:https://sso.example.com/realms/acme", "leave out /realms"),
        ("entra:common", "every tenant in the world"),
        ("entra:organizations", "every tenant in the world"),
        ("entra:acme.onmicrosoft.com", "a GUID"),
        ("azure:common", r"did you mean entra:TENANT\?"),
        ("Auth0:my-domain.auth0.com", r"did you mean auth0:DOMAIN\?"),
        ("keycloack:sso.example.com/acme", r"did you mean keycloak:URL/REALM\?"),
        ("ping:example.com", "leave AUTH_PROVIDER unset and set JWT_ISSUER and JWT_AUDIENCE"),
    ],
)
def test_a_common_mistake_is_told_what_fixes_it(text: str, words: str) -> None:
    """The form alone does not help somebody who believes to have kept it."""
    with pytest.raises(ValueError, match=words):
        parse_provider(text)


MACHINES: dict[str, dict[str, Any]] = {
    # https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
    AUTH0: {"sub": "my_client_id@clients", "gty": "client-credentials"},
    # https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-define-resource-servers.html
    COGNITO: {"sub": "1example23456789", "username": None, "cognito:groups": None},
    # https://clerk.com/docs/machine-auth/m2m-tokens
    CLERK: {"sub": "mch_2xhFjEI5X2qWRvtV13BzSj8H6Dk", "sid": None, "azp": None, "sts": None},
    # https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference
    ENTRA: {"sub": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb", "scp": None, "roles": ["Mint"]},
    # https://cloud.google.com/docs/authentication/token-types#id
    GOOGLE: {"azp": "10769150350006150715113082367", "email": "ci@project.iam.gserviceaccount.com"},
    # https://www.keycloak.org/docs/latest/server_admin/#_service_accounts
    KEYCLOAK: {"preferred_username": "service-account-my-app", "sid": None},
    # https://developer.okta.com/docs/guides/implement-grant-type/clientcreds/main/
    OKTA: {"sub": "nmdP1fcyvdVO11AL7ECm", "uid": None},
}


@pytest.mark.parametrize("name", MACHINES)
def test_a_machines_token_is_refused_unless_welcome(name: str, publisher: IdentityProvider) -> None:
    """Client credentials are no user: whoever holds them would be one user without a person behind."""
    preset = Preset(name, publisher)
    assert preset.sign_in.cause(preset.token(**MACHINES[name])) == "machine"
    Preset(name, publisher, allow_machines=True).sign_in.accepts(preset.token(**MACHINES[name]))


def test_one_sign_of_a_machine_is_enough(publisher: IdentityProvider) -> None:
    """Admins change what tokens carry."""
    for name, changes in (
        (AUTH0, {"gty": "client-credentials"}),
        (AUTH0, {"sub": "my_client_id@clients"}),
        (COGNITO, {"username": None}),
        (ENTRA, {"idtyp": "app"}),
        (GOOGLE, {"email": "ci@project.iam.gserviceaccount.com"}),
        (GOOGLE, {"email": None, "azp": "10769150350006150715113082367"}),
    ):
        preset = Preset(name, publisher)
        assert preset.sign_in.cause(preset.token(**changes)) == "machine"


def test_a_third_party_apps_token_does_not_pass_for_a_clerk_session(publisher: IdentityProvider) -> None:
    """OAuth access tokens are signed with the same keys: no ``azp``, ``typ: at+jwt``."""
    preset = Preset(CLERK, publisher)
    oauth = {"azp": None, "sid": None, "sts": None, "client_id": "third-party", "scope": "profile"}
    assert preset.sign_in.cause(preset.token({"typ": "at+jwt"}, **oauth)) == "wrong_type"
    assert preset.sign_in.cause(preset.token({"typ": "at+jwt"})) == "wrong_type"
    with_audience = Preset(CLERK, publisher, audiences=("app",))
    assert (
        with_audience.sign_in.cause(preset.token({"typ": "application/at+jwt"}, **oauth, aud="app"))
        == "wrong_type"
    )


@pytest.mark.parametrize("sid", [None, "", 7, ["sess_123"]])
def test_a_clerk_token_without_a_session_needs_an_audience(sid: Any, publisher: IdentityProvider) -> None:
    """Tokens of a JWT template have no ``sid``; they name their audience instead."""
    preset = Preset(CLERK, publisher)
    assert preset.sign_in.cause(preset.token(sid=sid)) == "wrong_token_use"
    Preset(CLERK, publisher, audiences=("realtime",)).sign_in.accepts(preset.token(sid=sid, aud="realtime"))


def test_googles_issuer_has_two_spellings_and_one_set_of_users(publisher: IdentityProvider) -> None:
    """With ``https://`` and without: the same person has one name and one limit."""
    preset = Preset(GOOGLE, publisher)
    callers = [preset.sign_in.accepts(preset.token(iss=iss)) for iss in preset.provider.issuers]
    assert [caller.issuer for caller in callers] == ["https://accounts.google.com"] * 2
    assert len({caller.pseudonym for caller in callers}) == 1


def test_googles_apps_each_have_a_client_id(publisher: IdentityProvider) -> None:
    """Web, Android and iOS."""
    preset = Preset(GOOGLE, publisher)
    preset.sign_in.accepts(preset.token(aud="9876.apps.googleusercontent.com"))


def test_apples_bundle_and_services_ids_are_both_audiences(publisher: IdentityProvider) -> None:
    """The app signs in under the one, the web under the other."""
    preset = Preset(APPLE, publisher)
    preset.sign_in.accepts(preset.token(aud="com.example.web"))


def test_entras_old_and_new_tokens_are_of_one_tenant(publisher: IdentityProvider) -> None:
    """Version 1 has another issuer; its users count apart."""
    preset = Preset(ENTRA, publisher)
    new = preset.sign_in.accepts(preset.token())
    old = preset.sign_in.accepts(preset.token(iss=f"https://sts.windows.net/{TENANT}/", ver="1.0"))
    assert new.pseudonym != old.pseudonym
    other = "https://login.microsoftonline.com/11111111-0000-cccc-1111-dddd2222eeee/v2.0"
    assert preset.sign_in.cause(preset.token(iss=other)) == "wrong_issuer"


@pytest.mark.parametrize("kind", ["Refresh", "Offline", "Logout", None, 7])
def test_keycloaks_tokens_say_their_use(kind: Any, publisher: IdentityProvider) -> None:
    """In a claim, not in the header; identity tokens are a user's too."""
    preset = Preset(KEYCLOAK, publisher)
    if kind is None:
        preset.sign_in.accepts(preset.token(typ="ID"))
    else:
        assert preset.sign_in.cause(preset.token(typ=kind)) == "wrong_token_use"


@pytest.mark.parametrize("algorithm", ["RS512", "PS256", "ES256", "ES512", "EdDSA"])
def test_a_keycloak_realm_chooses_its_algorithm(algorithm: str) -> None:
    """Its default is RS256."""
    signer = Signer(algorithm)
    with identity_provider(signer) as publisher:
        Preset(KEYCLOAK, publisher).sign_in.accepts(signer.sign(CLAIMS[KEYCLOAK]))


def test_a_cognito_pool_serves_several_apps(publisher: IdentityProvider) -> None:
    """Web and mobile are two app clients."""
    two = parse_provider(f"{COGNITO},2example23456789")
    both = sign_in(Preset(COGNITO, publisher).keys, provider=two)
    for client in ("1example23456789", "2example23456789"):
        both.accepts(Preset(COGNITO, publisher).token(client_id=client))
    assert both.cause(Preset(COGNITO, publisher).token(client_id="3example23456789")) == "wrong_audience"
