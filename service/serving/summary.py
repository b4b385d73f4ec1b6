"""What a start logs: the settings in force, so that nobody has to guess them from the variables."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from service.core.environment_types import authority
from service.settings import Settings


def summary(settings: Settings) -> dict[str, Any]:
    """Describe what is in force. It holds no secret: of a storage's URL only the scheme."""
    return {
        "listens": authority(settings.host, settings.port),
        "processes": settings.processes,
        "requests_a_process": settings.web_connections,
        "vendor": urlsplit(settings.openai_base_url).netloc,
        "models": list(settings.allowed_models),
        "default_model": settings.default_model,
        "session_policy": settings.session_policy is not None,
        "limit_per_user": "; ".join(str(item) for item in settings.rate_limit_per_user),
        "limit_global": "; ".join(str(item) for item in settings.rate_limit_global),
        "limit_storage": urlsplit(settings.storage_url.get_secret_value()).scheme,
        "allowed_origins": list(settings.allowed_origins),
        "trusted_proxy_hops": settings.trusted_proxy_hops,
    }
