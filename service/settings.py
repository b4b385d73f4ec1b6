"""Every environment variable, typed, and validated together at start."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from functools import cache
from typing import Self

from service.auth.settings import AuthSettings
from service.core.environment import ConfigurationError, Problem
from service.http.settings import ServingSettings
from service.limits.settings import LimitSettings
from service.policy.settings import PolicySettings
from service.vendors.base import SessionLayout
from service.vendors.layouts import OPENAI, OPENAI_BETA
from service.vendors.settings import UpstreamSettings

__all__ = [
    "AuthSettings",
    "ConfigurationError",
    "LimitSettings",
    "PolicySettings",
    "Problem",
    "ServingSettings",
    "Settings",
    "UpstreamSettings",
    "process_settings",
]


class Settings(ServingSettings, LimitSettings, PolicySettings, AuthSettings, UpstreamSettings):
    """All of them. A command that needs fewer reads one group alone, with ``Group.from_environ``."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read all groups, and check the policy against the vendor's layout once both are valid."""
        settings = super().from_environ(environ)
        if problems := settings.problems(settings.layout):
            raise ConfigurationError(problems)
        return settings

    @property
    def layout(self) -> SessionLayout:
        """Where the vendor's session keeps what policy looks at."""
        return OPENAI_BETA if self.beta else OPENAI

    @property
    def pseudonym_key(self) -> bytes:
        """The HMAC key that hides users: ``SAFETY_IDENTIFIER_SECRET``, else one derived from the API key."""
        if self.safety_identifier_secret:
            return self.safety_identifier_secret.get_secret_value().encode()
        key = self.openai_api_key.get_secret_value().encode()
        return hmac.new(key, b"safety-identifier", hashlib.sha256).digest()

    @property
    def processes(self) -> int:
        """How many worker processes may run: one where limits are counted in its memory."""
        return 1 if self.counts_in_memory else self.web_concurrency


@cache
def process_settings() -> Settings:
    """Return this process's settings, read once; a worker inherits what its master read and validated.

    Raises:
        ConfigurationError: where the environment has problems.
    """
    return Settings.from_environ(os.environ)
