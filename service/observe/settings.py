"""What is logged and measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, SecretStr

from service.core.environment import EnvironmentModel
from service.core.environment_types import header_value

SHORTEST_TOKEN = 16
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def shared_token(secret: SecretStr) -> SecretStr:
    """Check a bearer token that the admin shares with a machine: strangers may try to guess it."""
    secret = header_value(secret)
    if len(secret.get_secret_value()) < SHORTEST_TOKEN:
        raise ValueError(
            f"must have at least {SHORTEST_TOKEN} characters; make one with openssl rand -hex 32"
        )
    return secret


class ObserveSettings(EnvironmentModel):
    """Metrics and logs."""

    metrics_token: Annotated[SecretStr, AfterValidator(shared_token)] | None = None
    log_level: Annotated[LogLevel, BeforeValidator(str.upper)] = "INFO"
    log_format: Literal["json", "console"] = "json"
