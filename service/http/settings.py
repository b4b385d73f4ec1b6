"""What HTTP requests are accepted."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from service.core.environment import EnvironmentModel
from service.core.environment_types import CommaSeparated, each, origin


class HttpSettings(EnvironmentModel):
    """Origins, bodies and the proxies in front."""

    allowed_origins: Annotated[CommaSeparated, AfterValidator(each(origin))] = ()
    max_body_bytes: Annotated[int, Field(ge=1, le=16_777_216)] = 262_144
    trusted_proxy_hops: Annotated[int, Field(ge=0, le=10)] = 0
