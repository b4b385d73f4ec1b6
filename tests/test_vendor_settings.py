"""Which vendor it is, what it has, and how the service signs in there: all told at the start."""

from __future__ import annotations

import sys

import pytest

from service.core.environment import ConfigurationError
from service.settings import Settings
from service.vendors.entra import EntraId

AZURE_URL = "https://acme.openai.azure.com/openai/v1"
XAI_URL = "https://api.x.ai/v1"
SIGN_IN = {
    "JWT_SECRET": "canary-secret-of-more-than-32-bytes",
    "JWT_ISSUER": "https://issuer.test",
    "JWT_AUDIENCE": "token-service",
}
GOOD = {**SIGN_IN, "OPENAI_API_KEY": "canary-key"}
XAI = {**GOOD, "OPENAI_BASE_URL": XAI_URL, "DEFAULT_MODEL": "grok-voice-latest"}


def problems_of(environ: dict[str, str]) -> dict[str, str]:
    """Read an environment that should be refused; return what is said of each variable."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environ(environ)
    assert "canary" not in str(refused.value)
    return {problem.variable: problem.message for problem in refused.value.problems}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://gateway.example/v1", "openai"),
        (AZURE_URL, "azure"),
        ("https://ACME.openai.azure.com./openai/v1", "azure"),
        ("https://acme.services.ai.azure.com/openai/v1", "azure"),
        ("https://acme.cognitiveservices.azure.com/openai/v1", "azure"),
        ("https://openai.azure.com.evil.example/v1", "openai"),
        ("https://notopenai.azure.com/v1", "openai"),
    ],
)
def test_the_vendor_is_guessed_by_the_host(url: str, name: str) -> None:
    assert Settings.from_environ({**GOOD, "OPENAI_BASE_URL": url}).vendor.vendor.name == name


def test_the_vendor_can_be_named_where_the_host_does_not_tell() -> None:
    gateway = {**GOOD, "OPENAI_BASE_URL": "https://gateway.example/azure/openai/v1"}
    assert Settings.from_environ({**gateway, "OPENAI_VENDOR": "azure"}).vendor.vendor.name == "azure"
    assert Settings.from_environ(XAI).vendor.vendor.name == "xai"


def test_the_beta_is_a_dialect_of_openai() -> None:
    assert Settings.from_environ({**GOOD, "REALTIME_API": "beta"}).vendor.vendor.name == "openai-beta"


@pytest.mark.parametrize(
    ("environ", "variable", "said"),
    [
        ({**GOOD, "OPENAI_VENDOR": "bedrock"}, "OPENAI_VENDOR", "'openai', 'azure' or 'xai'"),
        (
            {**GOOD, "OPENAI_VENDOR": "azure"},
            "OPENAI_VENDOR",
            "needs OPENAI_BASE_URL, such as https://RESOURCE",
        ),
        ({**GOOD, "OPENAI_VENDOR": "xai"}, "OPENAI_VENDOR", f"needs OPENAI_BASE_URL, such as {XAI_URL}"),
        (
            {**GOOD, "OPENAI_BASE_URL": "https://acme.openai.azure.com"},
            "OPENAI_BASE_URL",
            "must end in /openai/v1",
        ),
        ({**GOOD, "OPENAI_BASE_URL": AZURE_URL, "REALTIME_API": "beta"}, "REALTIME_API", "has no beta"),
        ({**XAI, "REALTIME_API": "beta"}, "REALTIME_API", "has no beta"),
        ({**XAI, "OPENAI_ORG_ID": "org-1"}, "OPENAI_ORG_ID", "has no organizations"),
        ({**GOOD, "OPENAI_BASE_URL": AZURE_URL, "OPENAI_PROJECT_ID": "p"}, "OPENAI_PROJECT_ID", "has no org"),
        ({**XAI, "TOKEN_MAX_TTL": "3601"}, "TOKEN_MAX_TTL", "must not be above 3600"),
        ({**GOOD, "OPENAI_BASE_URL": XAI_URL}, "DEFAULT_MODEL", "such as grok-voice-latest"),
        ({**SIGN_IN, "OPENAI_BASE_URL": XAI_URL, "DEFAULT_MODEL": "m"}, "OPENAI_API_KEY", "is required"),
        ({**GOOD, "ALLOWED_MODELS": "gpt-realtime-2.1=mine"}, "ALLOWED_MODELS", "has no deployments"),
        (
            {**GOOD, "OPENAI_BASE_URL": AZURE_URL, "ALLOWED_MODELS": "a=canary-1,a=canary-2"},
            "ALLOWED_MODELS",
            "two deployments",
        ),
        (
            {**GOOD, "OPENAI_BASE_URL": AZURE_URL, "ALLOWED_MODELS": "a=b=c"},
            "ALLOWED_MODELS",
            "public=deployment",
        ),
        (
            {**GOOD, "OPENAI_BASE_URL": AZURE_URL, "ALLOWED_MODELS": "a="},
            "ALLOWED_MODELS",
            "public=deployment",
        ),
        (
            {**XAI, "SESSION_POLICY": '{"defaults": {"session": {"instructions": "Be brief."}}}'},
            "SESSION_POLICY",
            "leave instructions out",
        ),
        (
            {**XAI, "SESSION_POLICY": '{"bounds": {"max_output_tokens": {"max": 5}}}'},
            "SESSION_POLICY",
            "nothing would enforce this",
        ),
    ],
)
def test_what_a_vendor_has_not_is_refused_at_the_start(
    environ: dict[str, str], variable: str, said: str
) -> None:
    """Alone, and once, though two groups read ALLOWED_MODELS."""
    problems = problems_of(environ)
    assert set(problems) == {variable}
    assert said in problems[variable]


def test_public_names_are_the_policys_and_deployments_the_vendors() -> None:
    settings = Settings.from_environ(
        {**GOOD, "OPENAI_BASE_URL": AZURE_URL, "ALLOWED_MODELS": "gpt-realtime-2.1 = acme-voice, own-name"}
    )
    assert settings.policy.allowed_models == ("gpt-realtime-2.1", "own-name")
    assert settings.vendor.deployments == {"gpt-realtime-2.1": "acme-voice"}


def test_azure_without_a_key_signs_in_with_entra_id_and_needs_a_key_for_pseudonyms() -> None:
    keyless = {**SIGN_IN, "OPENAI_BASE_URL": AZURE_URL}
    assert problems_of(keyless) == {
        "SAFETY_IDENTIFIER_SECRET": "is required without OPENAI_API_KEY, from which it would be derived"
    }
    settings = Settings.from_environ({**keyless, "SAFETY_IDENTIFIER_SECRET": "s"})
    assert isinstance(settings.vendor.credential, EntraId)
    assert settings.vendor.credential is settings.vendor.credential
    assert settings.pseudonym_key == b"s"


def test_azure_without_a_key_and_without_the_library_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    problems = problems_of({**SIGN_IN, "OPENAI_BASE_URL": AZURE_URL, "SAFETY_IDENTIFIER_SECRET": "s"})
    assert set(problems) == {"OPENAI_API_KEY"}
    assert "pip install -r service/vendors/requirements-azure.txt" in problems["OPENAI_API_KEY"]


def test_the_secret_that_azure_identity_reads_is_known_as_one() -> None:
    assert "canary-azure" in Settings.from_environ({**GOOD, "AZURE_CLIENT_SECRET": "canary-azure"}).secrets


@pytest.mark.parametrize(
    "environ",
    [
        {"OPENAI_API_KEY": "my-gateway-key", "OPENAI_BASE_URL": "https://gateway.example.com/v1"},
        {"OPENAI_API_KEY": "sk-the-standard-key"},
        {"OPENAI_API_KEY": "sk-xxxxxxxxxxxx"},
        {"CLIENT_SECRET_TYPES": "none", "CALL_TYPES": "live", "ALLOWED_MODELS": "acme-assistant"},
        {"CLIENT_SECRET_TYPES": "none", "CALL_TYPES": "realtime", "ALLOWED_MODELS": "translate-desk"},
        {"CLIENT_SECRET_TYPES": "transcription", "CALL_TYPES": "none"},
    ],
)
def test_what_may_work_is_not_refused_for_its_name(environ: dict[str, str]) -> None:
    """A key is a gateway's, perhaps, and of most models only the vendor knows for what they are."""
    assert Settings.from_environ({**GOOD, **environ})
