"""What is logged and measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, SecretStr

from service.core.environment import EnvironmentModel
from service.core.environment_types import header_value

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class ObserveSettings(EnvironmentModel):
    """Metrics and logs."""

    metrics_token: Annotated[SecretStr, AfterValidator(header_value)] | None = None
    log_level: Annotated[LogLevel, BeforeValidator(str.upper)] = "INFO"
    log_format: Literal["json", "console"] = "json"
