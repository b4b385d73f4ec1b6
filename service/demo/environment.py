"""The environment that the demo's token service runs in, with the sandbox behind it or the vendor."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from service.auth.settings import AuthSettings
from service.core.env_file import with_env_file
from service.core.misspelt import find_misspelt
from service.demo.kept import Kept
from service.demo.network import url_of
from service.http.settings import HttpSettings
from service.observe.settings import ObserveSettings
from service.sandbox.tls import Certificate
from service.settings import ServerSettings, Settings
from service.store.settings import StoreSettings

MODELS = {
    "realtime": ["gpt-realtime-2.1", "gpt-realtime-2.1-mini", "gpt-realtime-2", "gpt-realtime-1.5"],
    "live": ["gpt-live-1.1", "gpt-live-1"],
    "transcription": ["gpt-live-transcribe", "gpt-realtime-whisper"],
    "translation": ["gpt-realtime-translate"],
}
"""What the demo page offers, by session type."""

VOICES = ["marin", "cedar", "alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse"]
"""The vendor's voices (https://platform.openai.com/docs/guides/realtime-conversations)."""

_ALL_MODELS = ",".join(model for models in MODELS.values() for model in models)

HOSTS_VARIABLE: Final = "TOKEN_SERVICE_DEMO_HOSTS"
"""Tells the demo's app the hosts it is reached at beside loopback; pages on them may call it."""

SANDBOX_VARIABLE: Final = "TOKEN_SERVICE_DEMO_SANDBOX"
"""Tells the demo's app the port of the sandbox on loopback, which it hands requests on to."""

LIVE_VARIABLE: Final = "TOKEN_SERVICE_DEMO_LIVE"
"""Tells the demo's app that the vendor is behind it, by any value."""

_ROOT = Path(__file__).resolve().parents[2]
_LIVE_BOUNDS: Final = {"RATE_LIMIT_GLOBAL": "30/hour", "CALL_MINUTES_GLOBAL": "30/day"}
"""For ``--live``, unless the environment says otherwise: each load of the page is a user of its own."""


@dataclass(frozen=True, slots=True)
class DemoServer:
    """Where the demo's token service listens, and who may call it."""

    host: str
    port: int
    certificate: Certificate | None = None
    origins: Sequence[str] = ()
    own_hosts: Sequence[str] = ()
    kept: Kept = field(kw_only=True, repr=False)

    @property
    def url(self) -> str:
        """Where it is reached on this machine."""
        return url_of("https" if self.certificate else "http", self.host, self.port)

    def variables(self, jwt_secret: str) -> dict[str, str]:
        """Write it as variables."""
        return {
            "JWT_SECRET": self.kept.keys[jwt_secret],
            "JWT_ISSUER": "https://demo.invalid",
            "JWT_AUDIENCE": "realtime-token-service",
            "ADMIN_TOKEN": self.kept.keys["ADMIN_TOKEN"],
            "ALLOWED_ORIGINS": ",".join(self.origins),
            "LOG_FORMAT": "console",
            "LOG_LEVEL": "WARNING",
            "HOST": self.host,
            "PORT": str(self.port),
            HOSTS_VARIABLE: ",".join(self.own_hosts),
            "PYTHONPATH": str(_ROOT),
        }


def sandbox_environment(server: DemoServer, base_url: str, *, public_url: str | None) -> dict[str, str]:
    """Make the whole environment of a token service before the sandbox at ``base_url``.

    Whatever this machine has set for a real one is left out: the demo needs none of it and must not use
    anybody's key. With ``public_url`` clients are told to connect there, which leads back to the demo.
    """
    generated = server.variables("JWT_SECRET") | {
        "OPENAI_API_KEY": server.kept.keys["OPENAI_API_KEY"],
        "OPENAI_BASE_URL": base_url,
        "SAFETY_IDENTIFIER_SECRET": server.kept.keys["SAFETY_IDENTIFIER_SECRET"],
        "ALLOWED_MODELS": _ALL_MODELS,
    }
    if public_url:
        generated |= {
            "REALTIME_PUBLIC_URL": public_url,
            SANDBOX_VARIABLE: str(urlsplit(base_url).port),
        }
    if server.certificate:
        generated["REQUESTS_CA_BUNDLE"] = str(server.certificate.authority)
    ours = Settings.names() | {each.name for each in find_misspelt(os.environ, Settings.names())}
    return without(os.environ, ours) | generated


def live_environment(server: DemoServer) -> dict[str, str]:
    """Make the environment of a token service before the vendor: this one's key, policy and limits, and ``.env``'s.

    Who may sign in, where limits are counted and who may call are the demo's own.

    Raises:
        ConfigurationError: naming every variable with a problem, such as a key that is missing.
        OSError, UnicodeError: there is a ``.env`` that cannot be read.
    """
    groups = (AuthSettings, StoreSettings, ObserveSettings, HttpSettings, ServerSettings)
    own = [name for group in groups for name in group.variables()]
    given = without(with_env_file(os.environ, Path(".env")), own)
    given = {name: value for name, value in given.items() if value.strip()}
    models = {} if "ALLOWED_MODELS" in given else {"ALLOWED_MODELS": _ALL_MODELS}
    # A JWT of the sandbox's demo lives for hours, and must not open anything that costs.
    environ = _LIVE_BOUNDS | models | given | server.variables("LIVE_JWT_SECRET") | {LIVE_VARIABLE: "1"}
    Settings.from_environ(environ)
    return environ


def without(environ: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Leave variables out."""
    return {name: value for name, value in environ.items() if name not in names}
