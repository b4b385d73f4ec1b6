"""Plain http goes to this machine, and to hosts that the admin names: services of a compose network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.auth.jwks_fetch import KeySetLocation, read_jwks_uri
from service.auth.key_set import KeySetError
from service.core.environment import ConfigurationError
from service.settings import Settings
from tests.support.forks import run_command
from tests.support.identity_provider import Signer, identity_provider
from tests.support.misconfigurations import GOOD
from tests.support.service import running_service, service_environ
from tests.support.tokens import ISSUER, claims
from tests.support.vendor import Answer, Vendor, scripted_vendor

NAME = "127.1"
"""What the C library takes for 127.0.0.1, and nobody for a loopback address by its looks: a host of another name."""


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    """A vendor that does what a test tells it to."""
    with scripted_vendor() as vendor:
        yield vendor


def elsewhere(url: str) -> str:
    """Write a URL of this machine with its other name."""
    return url.replace("127.0.0.1", NAME)


def test_a_vendor_and_a_key_set_of_a_named_host_are_reached_by_http(vendor: Vendor) -> None:
    """As the sandbox and a Keycloak beside the service are."""
    vendor.will(Answer())
    signer = Signer()
    with (
        identity_provider(signer) as provider,
        running_service(
            elsewhere(vendor.base_url),
            JWT_SECRET="",
            JWT_JWKS_URL=elsewhere(provider.url),
            ALLOW_INSECURE_HOSTS=f"keycloak, {NAME}",
        ) as service,
    ):
        answer = service.token(jwt=signer.sign(claims()))
    assert answer.status_code == 200, answer.text
    assert answer.json()["connection"]["url"].startswith(f"ws://{NAME}:")


def test_an_issuer_of_a_named_host_is_found_by_discovery(vendor: Vendor) -> None:
    vendor.will(Answer())
    signer = Signer()
    with identity_provider(signer) as provider:
        issuer = elsewhere(provider.issuer)
        provider.describe(issuer=issuer, jwks_uri=elsewhere(provider.url))
        with running_service(
            vendor.base_url, JWT_SECRET="", JWT_ISSUER=issuer, ALLOW_INSECURE_HOSTS=NAME
        ) as service:
            answer = service.token(jwt=signer.sign(claims(iss=issuer)))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPENAI_BASE_URL", "http://sandbox:9000/v1"),
        ("REALTIME_PUBLIC_URL", "http://sandbox:9000/v1"),
        ("JWT_JWKS_URL", "http://sandbox:8080/keys"),
        ("AUTH_PROVIDER", "keycloak:http://sandbox:8080/acme"),
        ("JWT_ISSUER", "http://sandbox:8080/realms/acme"),
    ],
)
def test_a_host_is_reached_by_http_only_if_it_is_named(variable: str, value: str) -> None:
    environ = {**GOOD, "JWT_SECRET": "", "JWT_ISSUER": "", variable: value}
    if variable not in {"AUTH_PROVIDER", "JWT_ISSUER"}:
        environ["JWT_ISSUER"] = ISSUER
    for names in ("", "sandbox.example", "keycloak,box"):
        with pytest.raises(ConfigurationError) as refused:
            Settings.from_environ({**environ, "ALLOW_INSECURE_HOSTS": names})
        assert "ALLOW_INSECURE_HOSTS" in str(refused.value).splitlines()[0]
        assert str(refused.value).startswith(f"{variable}: ")
    assert Settings.from_environ({**environ, "ALLOW_INSECURE_HOSTS": "Sandbox"})


def test_metadata_may_name_a_key_set_of_such_a_host_only_where_the_issuer_is_as_unsafe() -> None:
    def read(issuer: str, url: str, *hosts: str) -> str:
        document = f'{{"issuer": "{issuer}", "jwks_uri": "{url}"}}'.encode()
        return read_jwks_uri(document, issuer, insecure_hosts=hosts)

    assert read("http://keycloak/a", "http://keycloak/keys", "keycloak") == "http://keycloak/keys"
    for issuer, url, hosts in (
        ("http://keycloak/a", "http://keycloak/keys", ()),
        ("http://keycloak/a", "http://elsewhere/keys", ("keycloak",)),
        ("https://issuer.test", "http://keycloak/keys", ("keycloak",)),
    ):
        with pytest.raises(KeySetError, match="must begin with https://"):
            read(issuer, url, *hosts)


def test_a_public_host_that_is_named_is_warned_about() -> None:
    settings = Settings.from_environ(
        {**GOOD, "ALLOW_INSECURE_HOSTS": "keycloak,idp.example.com,10.0.0.7,db.internal"}
    )

    [warning] = settings.warnings()
    assert warning.startswith("ALLOW_INSECURE_HOSTS: idp.example.com does not look like")


def test_a_key_sets_query_is_neither_printed_nor_logged(vendor: Vendor) -> None:
    """It may hold a key to the provider."""
    with identity_provider() as provider:
        provider.serve({})
        environ = {"JWT_SECRET": "", "JWT_JWKS_URL": f"{provider.url}?key=canary"}
        checked = run_command("check", environ=service_environ(vendor.base_url, **environ))
        with running_service(vendor.base_url, **environ) as service:
            service.token(jwt=Signer().sign(claims()))
            log = service.run.output
    assert f"{provider.url}?***" in checked.stdout
    assert f"{provider.url}?***" in log
    assert "canary" not in checked.stdout + checked.stderr + log
    assert "canary" not in str(KeySetLocation(url="https://idp.test/keys?key=canary"))
