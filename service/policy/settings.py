"""What a secret may be for, and for how long."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from service.core.environment_types import CommaSeparated, parsed_by
from service.policy import Policy, PolicyDocument, PolicyError
from service.vendors.dialect import DialectSettings
from service.vendors.wire import MAX_SECRET_TTL, MIN_SECRET_TTL

SecretLife = Annotated[int, Field(ge=MIN_SECRET_TTL, le=MAX_SECRET_TTL)]


class PolicySettings(DialectSettings):
    """Models and lifetimes (seconds)."""

    default_model: str = "gpt-realtime-2.1"
    allowed_models: CommaSeparated = ()
    token_max_ttl: SecretLife = 600
    token_ttl: SecretLife = 60
    session_policy: Annotated[PolicyDocument | None, BeforeValidator(parsed_by(PolicyDocument.load))] = None

    @field_validator("allowed_models")
    @classmethod
    def _default_model_alone_is_allowed(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return value or (info.data["default_model"],)

    @field_validator("token_ttl")
    @classmethod
    def _default_life_is_within_bounds(cls, value: int, info: ValidationInfo) -> int:
        longest: int = info.data.get("token_max_ttl", value)
        if value > longest and value != cls.model_fields["token_ttl"].default:
            raise ValueError(f"must not be above TOKEN_MAX_TTL ({longest} seconds)")
        return min(value, longest)

    @field_validator("session_policy")
    @classmethod
    def _policy_fits_the_rest(
        cls, value: PolicyDocument | None, info: ValidationInfo
    ) -> PolicyDocument | None:
        rest = PolicySettings.model_fields.keys() - {"session_policy"}
        if value is None or not rest <= info.data.keys():
            return value
        if conflicts := PolicySettings.model_construct(**info.data, session_policy=value).policy.conflicts():
            raise PolicyError(conflicts)
        return value

    @property
    def policy(self) -> Policy:
        """The part that knows what a caller may have."""
        return Policy(
            allowed_models=self.allowed_models,
            default_model=self.default_model,
            token_ttl=self.token_ttl,
            token_max_ttl=self.token_max_ttl,
            beta=self.beta,
            document=self.session_policy,
        )
