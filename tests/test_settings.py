"""The environment is read once, and every problem of it is found in one pass."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.core.environment import ConfigurationError
from service.settings import Settings
from tests.support.processes import PYTHON, bare_environ, running

GOOD = {
    "OPENAI_API_KEY": "sk-canary-key",
    "JWT_SECRET": "canary-secret-of-more-than-32-bytes",
    "JWT_ISSUER": "https://issuer.test",
    "JWT_AUDIENCE": "token-service",
}

LISTS = (
    "ALLOWED_MODELS",
    "ALLOWED_ORIGINS",
    "ALLOW_INSECURE_HOSTS",
    "CALL_TYPES",
    "CLIENT_SECRET_TYPES",
    "CORS_ALLOWED_HEADERS",
    "JWT_AUDIENCE",
    "JWT_AUTHORIZED_PARTIES",
    "JWT_ISSUER",
    "JWT_SECRET",
)


def problems_of(environ: dict[str, str]) -> dict[str, str]:
    """Read an environment that should be refused; return what is said of each variable."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environ(environ)
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None
    return {problem.variable: problem.message for problem in refused.value.problems}


def pem(key: Any) -> str:
    """Spell a key's public half as PEM."""
    spelled: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return spelled.decode()


def test_four_variables_are_enough_and_the_rest_has_the_contracts_defaults() -> None:
    settings = Settings.from_environ(GOOD)

    assert settings.vendor.endpoint.base_url == "https://api.openai.com/v1"
    assert settings.policy.allowed_models == ("gpt-realtime-2.1",)
    assert (settings.policy.token_ttl, settings.policy.token_max_ttl) == (60, 600)
    assert [str(item) for item in settings.limits.rate_limit_per_user] == [
        "10 per 1 minute",
        "100 per 1 hour",
    ]
    assert settings.store.storage_url.get_secret_value() == "memory://"


def test_an_empty_environment_names_everything_that_is_missing_at_once() -> None:
    assert set(problems_of({})) == {"OPENAI_API_KEY", "JWT_ISSUER", "JWT_AUDIENCE"}


def test_an_empty_variable_counts_as_one_that_is_not_set() -> None:
    assert "OPENAI_API_KEY" in problems_of({**GOOD, "OPENAI_API_KEY": "  "})
    assert Settings.from_environ({**GOOD, "TOKEN_TTL": "", "PORT": ""}).policy.token_ttl == 60


@pytest.mark.parametrize("variable", LISTS)
def test_a_list_of_commas_alone_is_refused(variable: str) -> None:
    """As ``"${WEB},${APP}"`` becomes where both are empty. Taken for "not set" it would switch some checks off."""
    problems = problems_of({**GOOD, variable: ", ,"})
    assert problems[variable].endswith(
        "holds nothing between its commas; name at least one, or leave the variable out"
    )


def test_a_log_level_may_be_written_in_lower_case_as_many_hosts_do() -> None:
    assert Settings.from_environ({**GOOD, "LOG_LEVEL": "debug"}).observe.log_level == "DEBUG"


def test_a_keys_surrounding_white_space_is_stripped() -> None:
    assert (
        Settings.from_environ({**GOOD, "OPENAI_API_KEY": " sk-x\n"}).vendor.credential.headers()[
            "Authorization"
        ]
        == "Bearer sk-x"
    )


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OPENAI_API_KEY", "sk-canary\nx", "control"),
        ("OPENAI_BASE_URL", "http://api.openai.com/v1", "https://"),
        ("OPENAI_BASE_URL", "https://user:canary@api.openai.com/v1", "user name or password"),
        ("OPENAI_BASE_URL", "https://@api.openai.com/v1", "user name or password"),
        ("OPENAI_BASE_URL", "https://:@api.openai.com/v1", "user name or password"),
        ("OPENAI_BASE_URL", "https://api.openai.com/v1?canary=1", "no query"),
        ("OPENAI_BASE_URL", "https://api.openai.com/v1/chat/completions/", "names a route"),
        ("OPENAI_BASE_URL", "https://gateway.example/v1/realtime/translations", "names a route"),
        ("OPENAI_BASE_URL", "api.openai.com", "whole URL"),
        ("OPENAI_BASE_URL", "https://bücher.example/v1", "xn--"),
        ("OPENAI_BASE_URL", "https://api..example/v1", "empty or longer than 63"),
        ("OPENAI_BASE_URL", f"https://{'a' * 64}.example/v1", "empty or longer than 63"),
        ("REALTIME_PUBLIC_URL", "http://192.0.2.1/v1", "https://"),
        ("OPENAI_ORG_ID", "org canary", "letters, digits"),
        ("REALTIME_API", "alpha", "'ga' or 'beta'"),
        ("UPSTREAM_TIMEOUT", "21", "less than or equal to 20"),
        ("REQUESTS_CA_BUNDLE", "/no/such/canary", "exists"),
        ("REQUESTS_CA_BUNDLE", "-----BEGIN canary-----" * 300, "cannot be used (File name too long)"),
        ("REQUESTS_CA_BUNDLE", "/no/such\0canary", "no path"),
        ("JWT_MAX_LIFETIME", "9" * 20, "less than or equal"),
        ("JWT_SECRET", "canary-too-short", "at least 32"),
        ("JWT_SECRET", GOOD["JWT_SECRET"] + ",canary-too-short", "at least 32"),
        ("JWT_ALLOW_MULTIPLE", "maybe-canary", "neither 1 nor 0"),
        ("AUTH_PROVIDER", "canary:x", "auth0:DOMAIN"),
        ("AUTH_PROVIDER", "cognito:eu-west-1", "cognito:REGION/POOL/CLIENT_ID"),
        ("JWT_MAX_LIFETIME", "0", "greater than or equal to 1"),
        ("JWT_LEEWAY", "canary", "a whole number, such as 10"),
        ("JWT_REQUIRED_SCOPE", 'canary "scope" x', "one scope"),
        ("TOKEN_TTL", "9", "greater than or equal to 10"),
        ("TOKEN_TTL", "700", "TOKEN_MAX_TTL"),
        ("TOKEN_MAX_TTL", "7201", "less than or equal to 7200"),
        ("RATE_LIMIT_PER_USER", "5/min", "10/minute;100/hour"),
        ("RATE_LIMIT_PER_USER", "5", "10/minute;100/hour"),
        ("RATE_LIMIT_GLOBAL", "5/week", "10/minute;100/hour"),
        ("RATE_LIMIT_GLOBAL", "0/minute", "admit no request"),
        ("RATE_LIMIT_FAILED_AUTH", ";", "10/minute;100/hour"),
        ("RATE_LIMIT_TIERS", "{", "JSON"),
        ("RATE_LIMIT_TIERS", '{"pro": "canary"}', "tier 'pro'"),
        ("RATE_LIMIT_TIERS", '{"pro": 5}', "limits by tier"),
        ("RATE_LIMIT_TIERS", "[" * 100_000, "JSON"),
        ("RATE_LIMIT_STORAGE_URL", "mysql://:canary@host", "redis://"),
        ("REDIS_URL", "canary", "redis://"),
        ("RATE_LIMIT_STRATEGY", "canary", "fixed-window"),
        ("RATE_LIMIT_ON_STORAGE_FAILURE", "allow", "'local' or 'deny'"),
        ("ALLOWED_ORIGINS", "*", "pattern"),
        ("ALLOWED_ORIGINS", "https://*.example", "pattern"),
        ("ALLOWED_ORIGINS", "https://app.example/path", "without a path"),
        ("TRUSTED_PROXY_HOPS", "-1", "greater than or equal to 0"),
        ("MAX_BODY_BYTES", "0", "greater than or equal to 1"),
        ("LOG_FORMAT", "xml", "'json' or 'console'"),
        ("PORT", "http", "a whole number, such as 8000"),
        ("WEB_CONCURRENCY", "canary", "a whole number, such as 1"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right_and_is_not_repeated(
    variable: str, value: str, said: str
) -> None:
    problems = problems_of({**GOOD, variable: value})

    assert said in problems[variable]
    assert set(problems) == {variable}


@pytest.mark.parametrize(
    "base", ["https://gateway.example/realtime/v1", "https://gateway.example/models/openai"]
)
def test_a_gateways_path_may_have_words_of_routes(base: str) -> None:
    """Only where it ends in a route was one pasted."""
    settings = Settings.from_environ({**GOOD, "OPENAI_BASE_URL": base})

    assert settings.vendor.endpoint.base_url == base


def test_problems_of_several_variables_are_reported_together() -> None:
    wrong = {"PORT": "x", "TOKEN_TTL": "700", "RATE_LIMIT_GLOBAL": "x", "JWT_SECRET": "short"}

    assert set(problems_of({**GOOD, **wrong})) == set(wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"OPENAI_BASE_URL": "http://evil.example/v1"}, {"OPENAI_VENDOR": "bogus"}],
    ids=["url", "vendor"],
)
def test_a_missing_key_is_named_where_the_vendor_is_not_known_either(wrong: dict[str, str]) -> None:
    problems = problems_of({**GOOD, **wrong, "OPENAI_API_KEY": ""})

    assert set(problems) == {"OPENAI_API_KEY", *wrong}
    assert "unless OPENAI_VENDOR=azure" in problems["OPENAI_API_KEY"]


def test_a_key_that_azure_may_do_without_is_not_asked_for_beside_a_wrong_url() -> None:
    azure = {"OPENAI_VENDOR": "azure", "OPENAI_BASE_URL": "junk", "SAFETY_IDENTIFIER_SECRET": "x" * 32}

    assert "OPENAI_BASE_URL" in problems_of({**GOOD, **azure, "OPENAI_API_KEY": ""})
    assert "unless" not in problems_of({**GOOD, **azure, "OPENAI_API_KEY": ""}).get("OPENAI_API_KEY", "")


@pytest.mark.parametrize(
    ("conflict", "named"),
    [
        ({"CLIENT_SECRET_TYPES": "none", "CALL_TYPES": "none"}, {"CLIENT_SECRET_TYPES"}),
        ({"DEFAULT_MODEL": "gpt-live-1.1", "CALL_TYPES": "none"}, {"DEFAULT_MODEL"}),
        ({"SESSION_POLICY": '{"profiles": {"p": {"model": "gpt-9"}}}'}, {"SESSION_POLICY"}),
        (
            {"OPENAI_BASE_URL": "https://api.x.ai/v1", "TOKEN_MAX_TTL": "7200"},
            {"DEFAULT_MODEL", "TOKEN_MAX_TTL"},
        ),
    ],
    ids=["no type", "no model", "policy", "vendor"],
)
@pytest.mark.parametrize("other", [{"PORT": "abc"}, {"OPENAI_API_KEY": ""}, {"JWT_ISSUER": ""}], ids=str)
def test_what_does_not_fit_together_is_reported_beside_what_is_wrong_by_itself(
    conflict: dict[str, str], named: set[str], other: dict[str, str]
) -> None:
    assert set(problems_of({**GOOD, **conflict, **other})) == {*named, *other}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"TOKEN_TTL": "abc", "CLIENT_SECRET_TYPES": "none", "CALL_TYPES": "none"}, "CLIENT_SECRET_TYPES"),
        ({"TOKEN_TTL": "abc", "SESSION_POLICY": '{"profiles": {"p": {"model": "gpt-9"}}}'}, "SESSION_POLICY"),
        (
            {"OPENAI_BASE_URL": "junk", "SESSION_POLICY": '{"profiles": {"p": {"model": "x"}}}'},
            "SESSION_POLICY",
        ),
        (
            {
                "TOKEN_MAX_TTL": "9999",
                "TOKEN_TTL": "900",
                "CLIENT_SECRET_TYPES": "none",
                "CALL_TYPES": "none",
            },
            "CLIENT_SECRET_TYPES",
        ),
        ({"REALTIME_API": "x", "CLIENT_SECRET_TYPES": "none", "CALL_TYPES": "none"}, "CLIENT_SECRET_TYPES"),
        ({"OPENAI_BASE_URL": "junk", "OPENAI_VENDOR": "xai", "TOKEN_MAX_TTL": "7200"}, "TOKEN_MAX_TTL"),
    ],
)
def test_a_conflict_is_reported_beside_a_variable_that_it_is_not_about(
    wrong: dict[str, str], named: str
) -> None:
    assert {named, next(iter(wrong))} <= set(problems_of({**GOOD, **wrong}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"TOKEN_MAX_TTL": "abc", "SESSION_POLICY": '{"profiles": {"p": {"expires_in": 5000}}}'},
        {"ALLOWED_MODELS": "*", "SESSION_POLICY": '{"profiles": {"p": {"model": "gpt-9"}}}'},
        {"CALL_TYPES": "x", "CLIENT_SECRET_TYPES": "none"},
        {"OPENAI_BASE_URL": "http://acme.openai.azure.com/", "ALLOWED_MODELS": "gpt-realtime-2.1=mine"},
        {"OPENAI_BASE_URL": "junk", "TOKEN_MAX_TTL": "7200"},
    ],
)
def test_no_conflict_is_made_up_by_a_variable_that_cannot_be_read(wrong: dict[str, str]) -> None:
    assert set(problems_of({**GOOD, **wrong})) == {next(iter(wrong))}


def test_problems_come_in_the_contracts_order_and_each_once() -> None:
    """REALTIME_API is read by two groups."""
    wrong = {"PORT": "x", "TOKEN_TTL": "700", "REALTIME_API": "alpha", "METRICS_TOKEN": "a b"}

    assert list(problems_of({**GOOD, **wrong})) == ["REALTIME_API", "TOKEN_TTL", "METRICS_TOKEN", "PORT"]
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environ({**GOOD, "REALTIME_API": "alpha"})
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (rsa.generate_private_key(public_exponent=65537, key_size=1024), "2048"),
        (ec.generate_private_key(ec.SECP256K1()), "P-256, P-384 and P-521"),
    ],
    ids=["RSA of 1024 bits", "secp256k1"],
)
def test_a_public_key_too_weak_or_of_another_kind_is_refused(key: Any, said: str) -> None:
    environ = {**GOOD, "JWT_SECRET": "", "JWT_PUBLIC_KEY": pem(key)}

    assert said in problems_of(environ)["JWT_PUBLIC_KEY"]


def test_a_public_key_with_its_newlines_written_out_is_understood() -> None:
    key = pem(ec.generate_private_key(ec.SECP256R1())).replace("\n", "\\n")

    assert Settings.from_environ({**GOOD, "JWT_SECRET": "", "JWT_PUBLIC_KEY": key}).auth.jwt_public_key == key


def test_a_forgotten_secret_beside_a_provider_is_refused_unless_it_is_meant() -> None:
    both = {**GOOD, "AUTH_PROVIDER": "clerk:clerk.example.com"}

    assert "JWT_ALLOW_MULTIPLE=1" in problems_of(both)["JWT_ALLOW_MULTIPLE"]
    assert Settings.from_environ({**both, "JWT_ALLOW_MULTIPLE": "1"}).auth.jwt_secret
    short = {"JWT_SECRET": "short", "JWT_JWKS_URL": "https://issuer.test/keys"}
    assert set(problems_of({**GOOD, **short})) == {"JWT_SECRET", "JWT_ALLOW_MULTIPLE"}
    supabase = {**GOOD, "AUTH_PROVIDER": "supabase:abcdefgh"}
    assert Settings.from_environ(supabase).auth.jwt_secret


def test_a_preset_fills_in_issuer_key_set_and_audience_and_explicit_variables_override_it() -> None:
    environ = {"OPENAI_API_KEY": "sk-x", "AUTH_PROVIDER": "firebase:acme"}

    settings = Settings.from_environ(environ)
    assert settings.auth.jwt_issuer == ("https://securetoken.google.com/acme",)
    assert settings.auth.jwt_audience == ("acme",)
    assert settings.auth.jwt_jwks_url
    assert Settings.from_environ({**environ, "JWT_AUDIENCE": "other"}).auth.jwt_audience == ("other",)


def test_a_preset_without_an_audience_of_its_own_asks_for_one() -> None:
    environ = {"OPENAI_API_KEY": "sk-x", "AUTH_PROVIDER": "auth0:acme.eu.auth0.com"}

    assert set(problems_of(environ)) == {"JWT_AUDIENCE"}


def test_no_representation_of_settings_shows_a_secret() -> None:
    settings = Settings.from_environ(
        {
            **GOOD,
            "METRICS_TOKEN": "canary-of-metrics",
            "REDIS_URL": "redis://:canary@h",
            "HTTPS_PROXY": "http://u:canary@p",
        }
    )

    assert "canary" not in repr(settings) + str(settings)
    assert "canary" not in repr(settings.vendor.credential)
    assert "canary" not in repr(settings.vendor.endpoint)


@pytest.mark.parametrize("proxy", ["proxy.internal:3128", "u:pw@proxy.internal", "HTTPS://proxy.internal"])
def test_a_proxy_without_a_scheme_is_reached_by_http(proxy: str) -> None:
    settings = Settings.from_environ({**GOOD, "HTTPS_PROXY": proxy})

    written = settings.vendor.network.proxy("https://api.example/v1")
    assert written == (proxy if "://" in proxy else f"http://{proxy}")


def test_a_short_longest_life_bounds_the_default_life_too() -> None:
    assert Settings.from_environ({**GOOD, "TOKEN_MAX_TTL": "30"}).policy.token_ttl == 30


def test_a_default_model_that_is_not_allowed_is_warned_about() -> None:
    settings = Settings.from_environ({**GOOD, "ALLOWED_MODELS": "gpt-realtime-mini"})

    assert any(warning.startswith("DEFAULT_MODEL: ") for warning in settings.warnings())


def test_processes_are_held_at_one_while_limits_are_counted_in_memory() -> None:
    many = {**GOOD, "WEB_CONCURRENCY": "4"}

    assert Settings.from_environ(many).processes == 1
    assert Settings.from_environ({**many, "REDIS_URL": "redis://localhost"}).processes == 4


def test_gunicorn_listens_on_an_ipv6_host_too() -> None:
    command = (
        *(PYTHON, "-m", "gunicorn", "--config", "python:service.gunicorn_conf"),
        *("--print-config", "wsgi:app"),
    )

    environ = bare_environ(**GOOD, HOST="::1", PORT="8123")
    with running(command, environ=environ, ready=lambda run: run.process.poll() is not None) as run:
        assert "['[::1]:8123']" in run.output


def test_gunicorn_with_an_empty_environment_exits_at_once_with_the_full_list() -> None:
    command = (PYTHON, "-m", "gunicorn", "--config", "python:service.gunicorn_conf", "wsgi:app")

    with running(command, environ=bare_environ(), ready=lambda run: run.process.poll() is not None) as run:
        assert run.wait(15) != 0
        for variable in ("OPENAI_API_KEY", "JWT_SECRET", "JWT_ISSUER", "JWT_AUDIENCE"):
            assert variable in run.output
        assert "Traceback" not in run.output
