"""The environment that the demo's token service runs in: generated, without any real secret."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping

from service.sandbox.tls import Certificate
from service.settings import Settings

MODELS = {
    "realtime": ["gpt-realtime-2.1", "gpt-realtime-2.1-mini", "gpt-realtime-2", "gpt-realtime-1.5"],
    "live": ["gpt-live-1.1", "gpt-live-1"],
    "transcription": ["gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-realtime-whisper"],
    "translation": ["gpt-realtime-translate"],
}
"""What the demo page offers, by session type."""

VOICES = ["marin", "cedar", "alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse"]
"""The vendor's voices (https://platform.openai.com/docs/guides/realtime-conversations)."""


def demo_environment(
    base_url: str, *, host: str, port: int, certificate: Certificate | None
) -> dict[str, str]:
    """Make the whole environment of the demo's token service.

    Whatever this machine has set for a real one is left out: the demo needs none of it and must not use
    anybody's key.
    """
    generated = {
        "OPENAI_API_KEY": f"sk-sandbox-{secrets.token_hex(16)}",
        "OPENAI_BASE_URL": base_url,
        "JWT_SECRET": secrets.token_hex(32),
        "ADMIN_TOKEN": secrets.token_hex(32),
        "SAFETY_IDENTIFIER_SECRET": secrets.token_hex(32),
        "JWT_ISSUER": "https://demo.invalid",
        "JWT_AUDIENCE": "realtime-token-service",
        "ALLOWED_MODELS": ",".join(model for models in MODELS.values() for model in models),
        "LOG_FORMAT": "console",
        "LOG_LEVEL": "WARNING",
        "HOST": host,
        "PORT": str(port),
    }
    if certificate:
        generated["REQUESTS_CA_BUNDLE"] = str(certificate.authority)
    return without_settings(os.environ) | generated


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave out every variable that the service would read."""
    ours = Settings.variables()
    return {name: value for name, value in environ.items() if name not in ours}
