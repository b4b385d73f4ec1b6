"""The rules, each the model that one member of the admin's JSON is parsed into.

A decision is the conjunction of all rules that apply, so adding one can only narrow what is granted. Rules
about cost (models, types, lives, bounds) look at what would be sent, whoever put it there. Rules about
content (fields, locks, voices, tools) look at what the caller brings: what the admin wrote into a profile
passes, and to repeat it is to bring nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
)
from pydantic_core import CoreSchema, core_schema

from service.core.errors import (
    InvalidValueError,
    ModelNotAllowedError,
    ServiceError,
    SessionFieldNotAllowedError,
)
from service.core.model import SessionType
from service.policy.json_path import (
    Path,
    as_json_snippet,
    join_names,
    session_member,
    suggest,
)
from service.policy.request import ResolvedRequest
from service.vendors.wire import MAX_SECRET_TTL, MIN_SECRET_TTL


def _inside_the_session(path: str) -> str:
    if path.startswith("session."):
        raise ValueError(f"paths begin inside the session: write {path.removeprefix('session.')}")
    return path


Name = Annotated[str, Field(min_length=1, max_length=256)]
Names = tuple[Name, ...]
Seconds = Annotated[int, Field(ge=MIN_SECRET_TTL, le=MAX_SECRET_TTL)]
DottedPath = Annotated[
    str,
    Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$", examples=["audio.output.voice"]),
    AfterValidator(_inside_the_session),
]
Value = TypeVar("Value")


def split_path(dotted: str) -> Path:
    """Read a path as the admin writes it."""
    return tuple(dotted.split("."))


def not_allowed(message: str, path: Path) -> SessionFieldNotAllowedError:
    """Refuse a member of the session."""
    return SessionFieldNotAllowedError(message, param=session_member(path))


class StrictModel(BaseModel):
    """A part of the document: every member known, values not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Rule(ABC, Generic[Value]):
    """One thing that the admin decided: the value of one member of the document, which pydantic reads into it.

    ``parsed_as`` is the type of that value, ``words`` say what the rule allows, with ``{}`` for the value, and
    a value of ``unlimited`` is no rule. A rule that ``decides_access`` comes before the others beside it.
    There are no ``slots``: what is derived from the value is computed once.
    """

    value: Value

    parsed_as: ClassVar[Any]
    words: ClassVar[str]
    unlimited: ClassVar[Any] = None
    decides_access: ClassVar[bool] = False

    @abstractmethod
    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        """List what the rule refuses in a request."""

    def clamp(self, request: ResolvedRequest) -> ResolvedRequest:
        """Clamp a default to the rule's maximum; an explicit request above it is a violation instead."""
        return request

    def describe(self) -> str:
        """Say in words what the rule allows."""
        return self.words.format(join_names(self.value) if isinstance(self.value, tuple) else self.value)

    def parts(self, source: str) -> Iterator[SourcedRule]:
        """List the rules of which this one consists, each with its source."""
        if self.value != self.unlimited:
            yield SourcedRule(source, self)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate the value, then wrap it; the JSON Schema is the value's."""
        return core_schema.no_info_after_validator_function(cls, handler.generate_schema(cls.parsed_as))


class RuleGroup(StrictModel):
    """A member of the document that holds several rules."""

    def parts(self, source: str) -> tuple[SourcedRule, ...]:
        """List the rules, each with its source."""
        return rules_of(self, f"{source}.")


class SourcedRule(NamedTuple):
    """A rule and its place in the document or the environment, as ``ALLOWED_MODELS`` or ``rules[0].voices``."""

    source: str
    rule: Rule[Any]


def rules_of(model: StrictModel, prefix: str) -> tuple[SourcedRule, ...]:
    """List the rules among a model's members, in the order in which they decide."""
    members = {name: getattr(model, name) for name in type(model).model_fields}
    parts = (m.parts(prefix + name) for name, m in members.items() if isinstance(m, Rule | RuleGroup))
    return tuple(sorted(chain.from_iterable(parts), key=lambda part: not part.rule.decides_access))


class NameList(Rule[Names]):
    """A rule that lists the names of which a caller may have one."""

    parsed_as = Names

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.value)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._names

    def refusal(self, kind: str, name: Any) -> str:
        """Say that a name is not in the list, and what is."""
        return f"The {kind} {as_json_snippet(name)} is not available to you. {suggest(self.value)}"


class ProfileRequired(Rule[bool]):
    """Whether a caller must name a profile."""

    parsed_as = bool
    words = "the caller must name a profile"
    unlimited = False
    decides_access = True

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        if request.profile is None:
            yield InvalidValueError("'profile' is required; there is no default profile.", param="profile")


class AllowedProfiles(NameList):
    """The profiles that a caller may name."""

    words = "profiles: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        if request.profile is not None and request.profile not in self:
            message = f"This profile is not available to you. {suggest(self.value)}"
            yield SessionFieldNotAllowedError(message, param="profile")


class AllowedTypes(Rule[tuple[SessionType, ...]]):
    """The types of session that may be opened."""

    parsed_as = tuple[SessionType, ...]
    words = "session types: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        if request.session_type not in self.value:
            message = (
                f"Sessions of type {request.session_type} are not available to you. {suggest(self.value)}"
            )
            yield SessionFieldNotAllowedError(message, param="session.type")


class AllowedModels(NameList):
    """The models that a session may use."""

    words = "models: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for model, path in request.models():
            if model not in self:
                yield ModelNotAllowedError(self.refusal("model", model), param=request.model_member(path))


class MaxExpiresIn(Rule[Seconds]):
    """The longest lifetime of a secret, in seconds."""

    parsed_as = Seconds
    words = "a secret is valid for at most {} seconds"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        if request.expires_in > self.value:
            param = "expires_after.seconds"
            message = f"Invalid value for '{param}': a secret may be valid for at most {self.value} seconds."
            yield InvalidValueError(message, param=param)

    def clamp(self, request: ResolvedRequest) -> ResolvedRequest:
        if request.requested_seconds is None and request.expires_in > self.value:
            return replace(request, expires_in=self.value)
        return request
