"""How long calls may last, how many there may be, and who may end them all."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from service.budgets import MINIMUM_GRANT, MinuteLimit, parse_minutes
from service.core.environment import EnvironmentModel
from service.core.environment_types import header_value, parsed_by

LONGEST: Final = 7200
"""The vendor's own maximum in seconds, for a live session (observed); a conversation's is 3,600."""

_ADMIN_TOKEN_CHARACTERS: Final = 32

Minutes = Annotated[tuple[MinuteLimit, ...], BeforeValidator(parsed_by(parse_minutes))]


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < _ADMIN_TOKEN_CHARACTERS:
        raise ValueError(
            f"must have at least {_ADMIN_TOKEN_CHARACTERS} characters; make one with: openssl rand -hex 32"
        )
    return secret


def _text(default: str) -> Any:
    """Write a default as an admin would; it is parsed like any other value."""
    return Field(default)


class CallSettings(EnvironmentModel):
    """Calls. Lengths are in seconds, minutes in the notation of the limits."""

    call_max_seconds: Annotated[int, Field(ge=MINIMUM_GRANT, le=LONGEST)] = 600
    calls_per_user: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    calls_at_limit: Literal["replace", "refuse"] = "replace"
    calls_global: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    call_minutes_per_user: Minutes = _text("60/day")
    call_minutes_global: Minutes = ()
    call_check_seconds: Annotated[int, Field(ge=0, le=7200)] = 60
    admin_token: Annotated[SecretStr, AfterValidator(header_value), AfterValidator(_long_enough)] | None = (
        None
    )
