"""How the service itself is served and watched."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from service.core.environment import EnvironmentModel
from service.core.environment_types import CommaSeparated, each, header_value, origin

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class ServingSettings(EnvironmentModel):
    """HTTP, logs, metrics and processes."""

    allowed_origins: Annotated[CommaSeparated, AfterValidator(each(origin))] = ()
    max_body_bytes: Annotated[int, Field(ge=1, le=16_777_216)] = 65_536
    metrics_token: Annotated[SecretStr, AfterValidator(header_value)] | None = None
    log_level: Annotated[LogLevel, BeforeValidator(str.upper)] = "INFO"
    log_format: Literal["json", "console"] = "json"
    host: str = "0.0.0.0"  # noqa: S104 - a dyno is reached from outside
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    web_concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    web_connections: Annotated[int, Field(ge=1, le=100_000)] = 1000
