"""What a secret may be for, and for how long."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from service.policy import Policy, PolicyDocument, PolicyError
from service.settings.base import EnvironmentModel
from service.settings.envtypes import CommaSeparated
from service.wire import MAX_SECRET_TTL, MIN_SECRET_TTL


def policy_document(value: Any) -> Any:
    """Read the policy: JSON, or the path of a file that holds it."""
    return PolicyDocument.load(value) if isinstance(value, str) else value


SecretLife = Annotated[int, Field(ge=MIN_SECRET_TTL, le=MAX_SECRET_TTL)]


_POLICY_VALUES = ("allowed_models", "default_model", "token_ttl", "token_max_ttl")


class PolicySettings(EnvironmentModel):
    """Models and lifetimes (seconds)."""

    default_model: str = "gpt-realtime-2.1"
    allowed_models: CommaSeparated = ()
    token_max_ttl: SecretLife = 600
    token_ttl: SecretLife = 60
    session_policy: Annotated[PolicyDocument | None, BeforeValidator(policy_document)] = None

    @field_validator("allowed_models")
    @classmethod
    def _default_model_is_allowed(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        default = info.data["default_model"]
        if value and default not in value:
            raise ValueError(
                f"must hold DEFAULT_MODEL ({default}), or a caller who names no model is refused"
            )
        return value or (default,)

    @field_validator("token_ttl")
    @classmethod
    def _default_life_is_within_bounds(cls, value: int, info: ValidationInfo) -> int:
        longest = info.data.get("token_max_ttl", value)
        if value > longest:
            raise ValueError(f"must not be above TOKEN_MAX_TTL ({longest} seconds)")
        return value

    @field_validator("session_policy")
    @classmethod
    def _policy_fits_the_rest(
        cls, value: PolicyDocument | None, info: ValidationInfo
    ) -> PolicyDocument | None:
        values = {name: info.data[name] for name in _POLICY_VALUES if name in info.data}
        if value is None or len(values) < len(_POLICY_VALUES):
            return value
        beta = info.data.get("realtime_api") == "beta"
        policy = Policy(document=value, beta=beta, **values)
        if conflicts := policy.conflicts():
            raise PolicyError(conflicts)
        return value
