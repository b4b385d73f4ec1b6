"""Describe the settings in force, for the log at start."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from service.auth.settings import AuthSettings
from service.core.environment_types import authority
from service.limits.rules import Window
from service.settings import Settings


def summary(settings: Settings) -> dict[str, Any]:
    """Describe what is in force. It holds no secret: of a storage's URL only the scheme, of others only the host."""
    policy, rules, http = settings.policy, settings.limits.limit_rules, settings.http
    document = policy.session_policy
    return {
        "listens": authority(settings.server.host, settings.server.port),
        "processes": settings.processes,
        "requests_a_process": settings.server.web_connections,
        "vendor": urlsplit(settings.vendor.openai_base_url).netloc,
        "clients_connect_to": urlsplit(settings.vendor.endpoint.base_url).netloc,
        "sign_in": _sign_in(settings.auth),
        "issuers": list(settings.auth.jwt_issuer),
        "audiences": list(settings.auth.jwt_audience),
        "models": list(policy.allowed_models),
        "default_model": policy.default_model,
        "secret_seconds": {"default": policy.token_ttl, "longest": policy.token_max_ttl},
        "session_policy": document is not None,
        "profiles": len(document.profiles) if document else 0,
        "limit_per_user": _words(rules.user),
        "limit_by_tier": {tier: _words(windows) for tier, windows in rules.tiers.items()},
        "limit_global": _words(rules.everybody),
        "limit_failed_auth": _words(rules.failed_auth),
        "calls": list(policy.call_types) if settings.vendor.vendor.calls else [],
        "calls_per_user": settings.calls.calls_per_user,
        "call_max_seconds": settings.calls.call_max_seconds,
        "limit_storage": urlsplit(settings.store.storage_url.get_secret_value()).scheme,
        "on_storage_failure": settings.store.rate_limit_on_storage_failure,
        "allowed_origins": list(http.allowed_origins),
        "trusted_proxy_hops": http.trusted_proxy_hops,
        "client_address_header": http.client_address_header,
        "insecure_hosts": list(settings.vendor.allow_insecure_hosts),
        "metrics": settings.observe.metrics_token is not None,
        "warnings": len(settings.warnings()),
    }


def _sign_in(auth: AuthSettings) -> list[str]:
    """Name each source of keys."""
    sources = {
        f"AUTH_PROVIDER={auth.auth_provider.name}"
        if auth.auth_provider
        else "JWT_JWKS_URL": auth.jwt_jwks_url,
        "JWT_PUBLIC_KEY": auth.jwt_public_key,
        "JWT_SECRET": auth.jwt_secret,
        "OpenID discovery": auth.discovered_issuers,
    }
    return [name for name, is_given in sources.items() if is_given]


def _words(windows: tuple[Window, ...]) -> str:
    return "; ".join(f"{window.amount} in {window.span}" for window in windows)
