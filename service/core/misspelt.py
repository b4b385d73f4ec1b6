"""Variables that are set but not read, since ours have other names: by a table of names people use, and by likeness."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from service.core.environment import Problem
from service.core.environment_values import FILE_SUFFIX

_SIMILARITY: Final = 0.86
"""``difflib``'s ratio: lets ``RATE_LIMIT_PER_USERS`` through, and keeps ``HOSTNAME`` apart from ``HOST``."""

_USED_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "OPENAI_API_KEY": (
        "OPENAI_KEY", "OPENAI_TOKEN", "OPENAI_SECRET", "OPENAI_SECRET_KEY", "OPENAI_APIKEY", "OPENAI_API_TOKEN",
        "OPENAI_API_SECRET", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_KEY", "XAI_API_KEY",
    ),
    "OPENAI_BASE_URL": (
        "OPENAI_BASE", "OPENAI_URL", "OPENAI_API_BASE", "OPENAI_API_URL", "OPENAI_API_BASE_URL", "OPENAI_ENDPOINT",
        "OPENAI_HOST", "OPENAI_API_HOST", "AZURE_OPENAI_ENDPOINT",
    ),
    "OPENAI_ORG_ID": ("OPENAI_ORG", "OPENAI_ORGANIZATION", "OPENAI_ORGANIZATION_ID", "OPENAI_ORGANISATION"),
    "OPENAI_PROJECT_ID": ("OPENAI_PROJECT",),
    "DEFAULT_MODEL": ("OPENAI_MODEL", "REALTIME_MODEL", "OPENAI_REALTIME_MODEL", "MODEL_DEFAULT"),
    "ALLOWED_MODELS": ("OPENAI_MODELS", "REALTIME_MODELS", "MODELS_ALLOWED", "MODEL_ALLOWLIST"),
    "AUTH_PROVIDER": ("AUTH_PRESET", "IDENTITY_PROVIDER", "JWT_PROVIDER"),
    "JWT_SECRET": ("JWT_KEY", "JWT_SECRET_KEY", "JWT_SIGNING_KEY", "JWT_HMAC_KEY", "SUPABASE_JWT_SECRET"),
    "JWT_PUBLIC_KEY": ("JWT_PEM", "JWT_PUBLIC_KEY_PEM", "JWT_PUBLICKEY", "JWT_CERT", "JWT_CERTIFICATE"),
    "JWT_JWKS_URL": ("JWT_JWKS", "JWKS", "JWKS_URL", "JWKS_URI", "JWT_JWKS_URI", "OIDC_JWKS_URL"),
    "JWT_ISSUER": ("JWT_ISS", "JWT_ISSUERS", "JWT_ISSUER_URL", "ISSUER", "OIDC_ISSUER", "OIDC_ISSUER_URL"),
    "JWT_AUDIENCE": ("JWT_AUD", "JWT_AUDIENCES", "AUDIENCE", "OIDC_AUDIENCE", "JWT_CLIENT_ID", "OIDC_CLIENT_ID"),
    "JWT_REQUIRED_SCOPE": ("JWT_SCOPE", "JWT_SCOPES", "REQUIRED_SCOPE"),
    "JWT_AUTHORIZED_PARTIES": ("JWT_AZP", "AUTHORIZED_PARTIES"),
    "ALLOWED_ORIGINS": (
        "ALLOWED_ORIGIN", "ALLOW_ORIGIN", "ALLOW_ORIGINS", "CORS_ORIGIN", "CORS_ORIGINS", "CORS_ALLOW_ORIGIN",
        "CORS_ALLOW_ORIGINS", "CORS_ALLOWED_ORIGIN", "CORS_ALLOWED_ORIGINS",
    ),
    "CORS_ALLOWED_HEADERS": ("ALLOWED_HEADERS", "CORS_HEADERS", "CORS_ALLOW_HEADERS"),
    "RATE_LIMIT_PER_USER": ("RATE_LIMIT", "RATE_LIMITS", "RATE_LIMIT_USER", "USER_RATE_LIMIT", "RATELIMIT_DEFAULT"),
    "RATE_LIMIT_TIERS": ("RATE_LIMIT_TIER", "RATE_LIMITS_BY_TIER"),
    "RATE_LIMIT_STORAGE_URL": (
        "RATE_LIMIT_STORAGE", "RATE_LIMIT_STORAGE_URI", "RATE_LIMIT_REDIS_URL", "RATELIMIT_STORAGE_URL",
        "RATELIMIT_STORAGE_URI",
    ),
    "REDIS_URL": ("REDIS", "REDIS_URI", "REDIS_CONNECTION_STRING", "REDISCLOUD_URL", "VALKEY_URL"),
    "TRUSTED_PROXY_HOPS": ("TRUST_PROXY", "TRUSTED_PROXIES", "TRUSTED_HOPS", "PROXY_HOPS", "NUM_PROXIES"),
    "CLIENT_ADDRESS_HEADER": ("CLIENT_IP_HEADER", "REAL_IP_HEADER", "TRUSTED_IP_HEADER"),
    "ALLOW_INSECURE_HOSTS": ("INSECURE_HOSTS", "ALLOW_HTTP_HOSTS", "ALLOW_INSECURE"),
    "SAFETY_IDENTIFIER_SECRET": ("SAFETY_IDENTIFIER_KEY", "SAFETY_SECRET"),
    "TOKEN_TTL": ("SECRET_TTL", "TOKEN_LIFETIME", "TOKEN_EXPIRY", "TOKEN_EXPIRES_IN", "TTL"),
    "MAX_BODY_BYTES": ("MAX_BODY_SIZE", "MAX_CONTENT_LENGTH", "BODY_LIMIT"),
    "UPSTREAM_TIMEOUT": ("OPENAI_TIMEOUT", "REQUEST_TIMEOUT"),
    "SESSION_POLICY": ("POLICY_FILE", "SESSION_POLICY_FILE", "SESSION_POLICY_PATH", "SESSION_POLICIES"),
    "METRICS_TOKEN": ("METRICS_KEY", "METRICS_SECRET", "PROMETHEUS_TOKEN"),
    "LOG_LEVEL": ("LOGLEVEL", "LOGGING_LEVEL"),
    "WEB_CONCURRENCY": ("WORKERS", "NUM_WORKERS", "WEB_WORKERS", "GUNICORN_WORKERS"),
    "WEB_CONNECTIONS": ("WORKER_CONNECTIONS", "GUNICORN_THREADS"),
}  # fmt: skip
"""For each variable, what people call it, or what other programs call the same thing."""

_OTHERS_TOO: Final[Mapping[str, str]] = {
    "https_proxy": "HTTPS_PROXY", "no_proxy": "NO_PROXY", "SSL_CERT_FILE": "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE": "REQUESTS_CA_BUNDLE", "AUTH0_DOMAIN": "AUTH_PROVIDER", "FIREBASE_PROJECT": "AUTH_PROVIDER",
    "FIREBASE_PROJECT_ID": "AUTH_PROVIDER", "COGNITO_USER_POOL_ID": "AUTH_PROVIDER", "SUPABASE_URL": "AUTH_PROVIDER",
    "OKTA_DOMAIN": "AUTH_PROVIDER", "KEYCLOAK_URL": "AUTH_PROVIDER",
}  # fmt: skip
"""Names that other programs beside this one may need: worth a word only where ours is not set."""

_UNSUSPICIOUS: Final = frozenset({"HTTP_PROXY", "ALL_PROXY", "HOSTNAME", "REDIS_TLS_URL", "NO_COLOR"})

_LONGEST_NAME: Final = 100
_MEANT: Final = {used: meant for meant, names in _USED_NAMES.items() for used in names}


@dataclass(frozen=True, slots=True)
class Misspelt:
    """A variable that is set, and the one of ours that was ``meant``."""

    name: str
    meant: str

    @property
    def problem(self) -> Problem:
        """Say what to do about it."""
        shown = "".join(c if c.isprintable() else "?" for c in self.name[:_LONGEST_NAME])
        if self.name.upper() == self.meant + FILE_SUFFIX:
            return Problem(shown, f"is not read, since only secrets can be given as files; set {self.meant}")
        if self.meant == "AUTH_PROVIDER":
            return Problem(shown, "is not read; the identity provider is named in AUTH_PROVIDER")
        return Problem(shown, f"is not read; rename it to {self.meant}")


def find_misspelt(environ: Mapping[str, str], known: Collection[str]) -> tuple[Misspelt, ...]:
    """List the variables that are not read although their author meant one of ``known``. No value is read out."""
    found = []
    for name in sorted(environ):
        meant = None if name in known or name in _UNSUSPICIOUS else _find_meant(name, environ, known)
        if meant:
            found.append(Misspelt(name, meant))
    return tuple(found)


def _find_meant(name: str, environ: Mapping[str, str], known: Collection[str]) -> str | None:
    other = _OTHERS_TOO.get(name)
    if other:
        return other if other in known and not environ.get(other, "").strip() else None
    # What docker --env-file and editors leave: a byte order mark, "export ", quotation marks, white space.
    bare = (
        name.strip("\ufeff\u00ef\u00bb\u00bf \t\"'")
        .removeprefix("export ")
        .strip("\"' ")
        .upper()
        .replace("-", "_")
    )
    if bare in known:
        return None if name in {"http_proxy", "all_proxy"} else bare
    meant = _MEANT.get(bare)
    if meant in known:
        return meant
    base = bare.removesuffix(FILE_SUFFIX)
    if base != bare and base in known:
        return base
    return next(iter(get_close_matches(bare, known, n=1, cutoff=_SIMILARITY)), None)
