"""What the variables of identity mean together, from the environment to the rules."""

from __future__ import annotations

import pytest

from service.core.environment import ConfigurationError
from service.settings import Settings
from tests.support.authentication import SECRET

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
    assert settings.jwt_jwks_url == url


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
    assert settings.jwt_issuer == ("https://cognito-idp.us-east-1.amazonaws.com/pool",)
    assert settings.jwt_jwks_url == f"{settings.jwt_issuer[0]}/.well-known/jwks.json"
    assert settings.jwt_audience == ("client",)
    explicit = Settings.from_environ(
        {
            **KEY,
            "AUTH_PROVIDER": "cognito:us-east-1/pool/client",
            "JWT_ISSUER": "https://auth.example.com",
            "JWT_AUDIENCE": "another",
            "JWT_JWKS_URL": "https://auth.example.com/keys",
        }
    )
    assert (explicit.jwt_issuer, explicit.jwt_audience) == (("https://auth.example.com",), ("another",))
    assert explicit.jwt_jwks_url == "https://auth.example.com/keys"


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
