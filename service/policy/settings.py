"""What a secret may be for, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, field_validator

from service.core.environment import EnvironmentModel, Problem
from service.core.environment_types import comma_separated, each, model_names, parsed_by
from service.core.model import CallType, SecretType
from service.policy.decide import Policy
from service.policy.document import PolicyDocument
from service.policy.reading import PolicyError
from service.policy.rules import Seconds
from service.vendors.base import SessionLayout


def types_or_none(value: Any) -> Any:
    """Split a list of session types; the word ``none`` is the empty one."""
    names = comma_separated(value)
    return () if names == ("none",) else names


def public_names(value: Any) -> Any:
    """Read the public names in a list of models; what they are called at the vendor is the vendor's to know."""
    return tuple(model_names(value)) if isinstance(value, str) else value


Kind = TypeVar("Kind")
_Types = Annotated[tuple[Kind, ...], BeforeValidator(types_or_none)]


def model_name(text: str) -> str:
    """Check that a model's name is one name, since only an equal one is ever allowed."""
    if any(character.isspace() or character in ";|" for character in text):
        raise ValueError("holds white space or a semicolon; list models separated by commas")
    if "*" in text:
        raise ValueError("holds a pattern; list each model by its exact name")
    return text


def one_model(text: str) -> str:
    """Check that it is no list of models."""
    if "," in text:
        raise ValueError("must be one model; list the others in ALLOWED_MODELS")
    return model_name(text)


_TYPES = frozenset({"CLIENT_SECRET_TYPES", "CALL_TYPES"})
_MODELS = frozenset({"DEFAULT_MODEL", "ALLOWED_MODELS"})

CONFLICTING: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "CLIENT_SECRET_TYPES": _TYPES,
        "DEFAULT_MODEL": _TYPES | _MODELS,
        "ALLOWED_MODELS": _TYPES | _MODELS,
        "TOKEN_MAX_TTL": frozenset({"TOKEN_MAX_TTL"}),
        "SESSION_POLICY": _TYPES | _MODELS | {"TOKEN_MAX_TTL", "SESSION_POLICY"},
    }
)
"""For each variable that ``problems`` blames, those that the problem may come from."""


class PolicySettings(EnvironmentModel):
    """Models and lifetimes (seconds)."""

    default_model: Annotated[str, AfterValidator(one_model)] = "gpt-realtime-2.1"
    allowed_models: Annotated[
        tuple[str, ...], BeforeValidator(public_names), AfterValidator(each(model_name))
    ] = ()
    token_max_ttl: Seconds = 600
    token_ttl: Seconds = 60
    # As the environment writes them, since defaults are validated too.
    client_secret_types: _Types[SecretType] = "realtime,transcription,translation"  # type: ignore[assignment]  # noqa: S105
    call_types: _Types[CallType] = "realtime,live"  # type: ignore[assignment]
    session_policy: Annotated[PolicyDocument | None, BeforeValidator(parsed_by(PolicyDocument.load))] = None

    @field_validator("allowed_models")
    @classmethod
    def _default_model_alone_is_allowed(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return value or ((info.data["default_model"],) if "default_model" in info.data else ())

    @field_validator("token_ttl")
    @classmethod
    def _default_life_is_within_bounds(cls, value: int, info: ValidationInfo) -> int:
        longest: int = info.data.get("token_max_ttl", value)
        if value > longest and value != cls.model_fields["token_ttl"].default:
            raise ValueError(f"must not be above TOKEN_MAX_TTL ({longest} seconds)")
        return min(value, longest)

    def problems(self, layout: SessionLayout) -> tuple[Problem, ...]:
        """List what in these settings could never be granted, once the vendor's session layout is known."""
        problems = []
        if layout.example_model and "default_model" not in self.model_fields_set:
            problems.append(
                Problem(
                    "DEFAULT_MODEL", f"is required: {layout.name} has models such as {layout.example_model}"
                )
            )
        if self.token_max_ttl > layout.max_secret_seconds:
            longest = f"{layout.name} has secrets of at most {layout.max_secret_seconds} seconds"
            problems.append(
                Problem("TOKEN_MAX_TTL", f"must not be above {layout.max_secret_seconds}: {longest}")
            )
        if conflicts := build(self, layout).conflicts():
            problems.append(Problem("SESSION_POLICY", str(PolicyError(conflicts))))
        return (*problems, *self._find_unreachable(layout))

    def _find_unreachable(self, layout: SessionLayout) -> Iterator[Problem]:
        """Find types and models that fit so badly that every request would be refused."""
        secrets = set(self.client_secret_types) & set(layout.session_types)
        calls = set(self.call_types) & set(layout.call_types)
        if not secrets and not calls:
            yield Problem(
                "CLIENT_SECRET_TYPES",
                "leaves no type of session, for calls neither, so that every request would be refused; "
                f"allow one, such as {layout.session_types[0]}",
            )
        # By its name a model is known to be live, and is then refused for all else; no other name says that much.
        elif "live" not in calls and all(map(layout.is_live, self.allowed_models)):
            yield Problem(
                "ALLOWED_MODELS" if "allowed_models" in self.model_fields_set else "DEFAULT_MODEL",
                f"names no model for the types of session that are allowed ({', '.join(sorted(secrets | calls))}), so "
                "that every request would be refused; name one, or allow live in CALL_TYPES",
            )


def build(settings: PolicySettings, layout: SessionLayout) -> Policy:
    """Make the part that decides what a caller may have."""
    return Policy(
        allowed_models=settings.allowed_models,
        default_model=settings.default_model,
        token_ttl=settings.token_ttl,
        token_max_ttl=settings.token_max_ttl,
        layout=layout,
        secret_types=settings.client_secret_types,
        call_types=settings.call_types,
        document=settings.session_policy,
    )
