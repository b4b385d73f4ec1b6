"""Describe the settings in force, for the log at start."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from service.core.environment_types import authority
from service.settings import Settings


def summary(settings: Settings) -> dict[str, Any]:
    """Describe what is in force. It holds no secret: of a storage's URL only the scheme."""
    return {
        "listens": authority(settings.server.host, settings.server.port),
        "processes": settings.processes,
        "requests_a_process": settings.server.web_connections,
        "vendor": urlsplit(settings.vendor.openai_base_url).netloc,
        "models": list(settings.policy.allowed_models),
        "default_model": settings.policy.default_model,
        "session_policy": settings.policy.session_policy is not None,
        "limit_per_user": "; ".join(str(item) for item in settings.limits.rate_limit_per_user),
        "limit_global": "; ".join(str(item) for item in settings.limits.rate_limit_global),
        "calls": list(settings.policy.call_types) if settings.vendor.vendor.calls else [],
        "calls_per_user": settings.calls.calls_per_user,
        "call_max_seconds": settings.calls.call_max_seconds,
        "limit_storage": urlsplit(settings.store.storage_url.get_secret_value()).scheme,
        "allowed_origins": list(settings.http.allowed_origins),
        "trusted_proxy_hops": settings.http.trusted_proxy_hops,
    }
