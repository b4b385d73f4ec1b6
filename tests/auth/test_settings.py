"""What the variables of identity mean together, from the environment to the rules."""

from __future__ import annotations

from base64 import b64encode

import pytest

from service.auth.settings import AuthSettings
from service.core.environment import ConfigurationError
from service.settings import Settings
from tests.support.authentication import SECRET, sign_in_from
from tests.support.forks import run_command
from tests.support.identity_provider import Signer, identity_provider, sign_hs256
from tests.support.processes import bare_environ
from tests.support.tokens import claims

KEY = {"OPENAI_API_KEY": "sk-test"}


@pytest.mark.parametrize(
    "url",
    [
        "https://tenant.b2clogin.com/tenant/discovery/v2.0/keys?p=b2c_1_signin",
        "https://issuer.test/keys/",
        "http://127.0.0.1:8080/jwks.json",
    ],
)
def test_a_key_sets_address_is_taken_as_it_is(url: str) -> None:
    """Some providers tell their key sets apart by a query, or by a slash at the end."""
    settings = Settings.from_environ(
        {**KEY, "JWT_JWKS_URL": url, "JWT_ISSUER": "https://issuer.test", "JWT_AUDIENCE": "app"}
    )
    assert settings.auth.jwt_jwks_url == url


@pytest.mark.parametrize(
    "url", ["http://issuer.test/jwks.json", "ftp://issuer.test/", "issuer.test/jwks.json"]
)
def test_a_key_set_comes_over_tls(url: str) -> None:
    """Or whoever sits in between could say the keys."""
    with pytest.raises(ConfigurationError, match="JWT_JWKS_URL"):
        Settings.from_environ(
            {**KEY, "JWT_JWKS_URL": url, "JWT_ISSUER": "https://issuer.test", "JWT_AUDIENCE": "app"}
        )


def test_one_variable_connects_a_provider() -> None:
    """The preset fills in what the environment leaves open, and explicit variables win."""
    settings = Settings.from_environ({**KEY, "AUTH_PROVIDER": "cognito:us-east-1/pool/client"})
    assert settings.auth.jwt_issuer == ("https://cognito-idp.us-east-1.amazonaws.com/pool",)
    assert settings.auth.jwt_jwks_url == f"{settings.auth.jwt_issuer[0]}/.well-known/jwks.json"
    assert settings.auth.jwt_audience == ("client",)
    explicit = Settings.from_environ(
        {
            **KEY,
            "AUTH_PROVIDER": "cognito:us-east-1/pool/client",
            "JWT_ISSUER": "https://auth.example.com",
            "JWT_AUDIENCE": "another",
            "JWT_JWKS_URL": "https://auth.example.com/keys",
        }
    )
    assert (explicit.auth.jwt_issuer, explicit.auth.jwt_audience) == (
        ("https://auth.example.com",),
        ("another",),
    )
    assert explicit.auth.jwt_jwks_url == "https://auth.example.com/keys"


def test_auth0_needs_to_be_told_the_audience() -> None:
    """It is the API's identifier, which the domain does not know."""
    with pytest.raises(ConfigurationError, match="JWT_AUDIENCE"):
        Settings.from_environ({**KEY, "AUTH_PROVIDER": "auth0:my-domain.auth0.com"})


def test_a_forgotten_secret_beside_a_provider_is_refused() -> None:
    """Development tokens would be let in; Supabase's legacy secret is the provider's own."""
    for provider in ("firebase:app", "clerk:clerk.example.com"):
        with pytest.raises(ConfigurationError, match="JWT_ALLOW_MULTIPLE"):
            Settings.from_environ({**KEY, "AUTH_PROVIDER": provider, "JWT_SECRET": SECRET})
        Settings.from_environ(
            {**KEY, "AUTH_PROVIDER": provider, "JWT_SECRET": SECRET, "JWT_ALLOW_MULTIPLE": "1"}
        )
    Settings.from_environ({**KEY, "AUTH_PROVIDER": "supabase:ref", "JWT_SECRET": SECRET})


def test_googles_spellings_stay_one_issuer_beside_another() -> None:
    """Users of the other one have a namespace of their own."""
    settings = AuthSettings.from_environ(
        {
            "AUTH_PROVIDER": "google:app",
            "JWT_ISSUER": "https://accounts.google.com,accounts.google.com,https://issuer.test",
            "JWT_AUDIENCE": "app",
        }
    )
    assert settings.user_namespace("accounts.google.com") == "https://accounts.google.com"
    assert settings.user_namespace("https://issuer.test") == "https://issuer.test"
    with pytest.raises(ValueError, match="name one"):
        settings.user_namespace()


def test_each_variable_of_sign_in_reaches_its_check() -> None:
    """From the environment to the rule; each token is good but for one thing."""
    base = {"JWT_SECRET": SECRET, "JWT_ISSUER": "https://issuer.test", "JWT_AUDIENCE": "app"}
    token = sign_hs256(claims(aud="app", sub="a-session", uid="ada", jti="a"), SECRET)
    any_use, single_use = sign_in_from(**base), sign_in_from(**base, JWT_SINGLE_USE="1")
    assert any_use.accepts(token) == any_use.accepts(token) == single_use.accepts(token)
    assert single_use.cause(token) == "replayed"
    assert sign_in_from(**base, JWT_USER_CLAIM="uid").accepts(token).subject == "ada"
    assert sign_in_from(**base, JWT_MAX_LIFETIME="60").cause(token) == "lives_too_long"
    assert sign_in_from(**base, JWT_AUTHORIZED_PARTIES="x").cause(token) == "wrong_party"
    sign_in_from(**base, JWT_AUTHORIZED_PARTIES="x,-").accepts(token)


def test_a_presets_own_secret_stands_for_no_other_issuer() -> None:
    """The other's key set is found by discovery, as it is without the secret."""
    base = {"AUTH_PROVIDER": "supabase:ref", "JWT_AUDIENCE": "app"}
    issuers = {"JWT_ISSUER": "https://ref.supabase.co/auth/v1,https://other.example"}
    for secret in ({}, {"JWT_SECRET": SECRET}):
        assert AuthSettings.from_environ({**base, **issuers, **secret}).discovered_issuers == (
            "https://other.example",
        )
    with pytest.raises(ConfigurationError, match="discovery"):
        AuthSettings.from_environ(
            {**base, "JWT_SECRET": SECRET, "JWT_ISSUER": "https://ref.supabase.co/auth/v1,other"}
        )


def test_a_preset_that_names_no_app_is_warned_about() -> None:
    """Clerk's tokens have no audience: without ``azp`` those of every app of the instance would do."""
    clerk = {"AUTH_PROVIDER": "clerk:clerk.example.com"}
    (warning,) = AuthSettings.from_environ(clerk).auth_warnings()
    assert "JWT_AUTHORIZED_PARTIES" in warning
    for named in ({"JWT_AUTHORIZED_PARTIES": "https://app.example"}, {"JWT_AUDIENCE": "app"}):
        assert AuthSettings.from_environ({**clerk, **named}).auth_warnings() == ()
    assert AuthSettings.from_environ({"AUTH_PROVIDER": "google:app"}).auth_warnings() == ()


def test_a_presets_own_secret_is_held_to_its_checks() -> None:
    """Supabase's legacy secret: machine-made keys of the project are no users; anonymous users only if welcome."""
    base = {"AUTH_PROVIDER": "supabase:ref", "JWT_SECRET": SECRET}
    user = claims(iss="https://ref.supabase.co/auth/v1", aud="authenticated", role="authenticated")
    sign_in_from(**base).accepts(sign_hs256(user, SECRET))
    assert sign_in_from(**base).cause(sign_hs256({**user, "role": "anon"}, SECRET)) == "wrong_role"
    anonymous = sign_hs256({**user, "is_anonymous": True}, SECRET)
    assert sign_in_from(**base).cause(anonymous) == "anonymous"
    sign_in_from(**base, ALLOW_ANONYMOUS_USERS="1").accepts(anonymous)


def test_a_presets_key_set_is_used_with_its_algorithms_and_machines_are_welcome_if_said() -> None:
    """Through the whole factory, over real sockets."""
    rsa, ec = Signer("RS256", key_id="rsa"), Signer("ES384", key_id="ec")
    machine = claims(iss="https://acme.auth0.com/", aud="app", gty="client-credentials")
    with identity_provider(rsa, ec) as provider:
        base = {"AUTH_PROVIDER": "auth0:acme.auth0.com", "JWT_AUDIENCE": "app", "JWT_JWKS_URL": provider.url}
        assert sign_in_from(**base).cause(rsa.sign(machine)) == "machine"
        welcoming = sign_in_from(**base, ALLOW_MACHINE_TOKENS="1")
        welcoming.accepts(rsa.sign(machine))
        assert welcoming.cause(ec.sign(machine)) == "unknown_key"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"JWT_AUTHORIZED_PARTIES": "https://app.test,https://web.test"},
        {"JWT_USER_CLAIM": "uid"},
        {"JWT_ISSUER": "first,second", "JWT_AUDIENCE": "web,mobile"},
        {"JWT_SECRET": b64encode(bytes(range(40))).decode(), "JWT_SECRET_ENCODING": "base64"},
        {
            "AUTH_PROVIDER": "firebase:app",
            "JWT_ALLOW_MULTIPLE": "1",
            "JWT_ISSUER": "https://securetoken.google.com/app,https://dev.test",
        },
    ],
)
def test_a_development_token_is_accepted_by_the_environment_that_issued_it(variables: dict[str, str]) -> None:
    """``issue-jwt`` signs what this very service accepts, whatever it demands."""
    base = {"JWT_SECRET": SECRET, "JWT_ISSUER": "https://issuer.test", "JWT_AUDIENCE": "app"}
    environ = {**base, **variables}
    issued = run_command("issue-jwt", "--sub", "ada", environ=bare_environ(**environ))
    assert issued.returncode == 0, issued.stderr
    assert sign_in_from(**environ).accepts(issued.stdout.strip()).subject == "ada"


@pytest.mark.parametrize("written", ["web mobile", "web; mobile"])
def test_audiences_that_are_not_separated_by_commas_are_warned_about(written: str) -> None:
    """No token would hold the whole; and yet an audience may be any text."""
    environ = {"JWT_SECRET": SECRET, "JWT_ISSUER": "https://issuer.test", "JWT_AUDIENCE": written}
    (warning,) = AuthSettings.from_environ(environ).auth_warnings()
    assert warning.startswith("JWT_AUDIENCE: ")
    assert not AuthSettings.from_environ(environ | {"JWT_AUDIENCE": "web, mobile"}).auth_warnings()


def test_an_identity_servers_key_set_lies_below_its_metadata() -> None:
    """So only the metadata itself is refused as a key set."""
    environ = {"JWT_ISSUER": "https://issuer.test", "JWT_AUDIENCE": "app"}
    url = "https://issuer.test/.well-known/openid-configuration"
    assert AuthSettings.from_environ(environ | {"JWT_JWKS_URL": f"{url}/jwks"}).jwt_jwks_url
    with pytest.raises(ConfigurationError, match="JWT_JWKS_URL"):
        AuthSettings.from_environ(environ | {"JWT_JWKS_URL": f"{url}?p=b2c"})
