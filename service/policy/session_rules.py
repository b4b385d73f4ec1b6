"""Rules about the members of a session.

Most look at what a caller brings: what the admin wrote into a profile passes, and to repeat it is to bring nothing.
``Bounds`` look at what would be sent, whoever put it there.

A function runs on the client. Remote servers, stored prompts and traces are called, read and written by the vendor on
the company's account, so a document denies them unless it lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from service.core.errors import ServiceError, SessionFieldNotAllowedError
from service.policy.json_path import (
    MISSING,
    Path,
    PathTree,
    get,
    join_names,
    path_tree,
    paths_outside,
    paths_overlapping,
    put,
    session_member,
)
from service.policy.request import ResolvedRequest
from service.policy.rules import (
    DottedPath,
    NameList,
    Rule,
    RuleGroup,
    SourcedRule,
    StrictModel,
    not_allowed,
    split_path,
)


class FieldList(Rule[tuple[DottedPath, ...]]):
    """Members of the session, each with all below it; ``find`` picks a caller's changes that they do not allow."""

    parsed_as = tuple[DottedPath, ...]
    find: ClassVar[Callable[[PathTree, PathTree], Iterator[Path]]]

    @cached_property
    def _tree(self) -> PathTree:
        return path_tree(map(split_path, self.value))

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for path in type(self).find(request.changes, self._tree):
            yield not_allowed(f"You may not set '{session_member(path)}'.", path)


class AllowedFields(FieldList):
    """The only members that a caller may set."""

    words = "the caller may set only: {}"
    find = paths_outside


class DeniedFields(FieldList):
    """The members that a caller may not set, nor anything below or around them."""

    words = "the caller may not set: {}"
    find = paths_overlapping


class Fields(RuleGroup):
    """Which members of the session a caller may set, each with all below it."""

    allow: AllowedFields | None = Field(None, description="These and no others.")
    deny: DeniedFields | None = Field(None, description="None of these.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.allow is None and self.deny is None:
            raise ValueError('needs "allow" or "deny", a list of paths')
        return self


class LockedMembers(Rule[tuple[DottedPath, ...]]):
    """The members of a profile that are sent exactly as the profile has them, also where it has none."""

    parsed_as = tuple[DottedPath, ...]
    unlimited = ()

    def describe(self) -> str:
        names = sorted(self.value, key=lambda name: name == "expires_in")
        return f"the caller may not change: {join_names(names)}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for name in self.value:
            path = request.model_path if name == "model" else split_path(name)
            if name != "expires_in" and request.differs(path):
                yield not_allowed(f"'{session_member(path)}' is set by the service; leave it out.", path)
        if "expires_in" in self.value and request.requested_seconds not in {None, request.default_seconds}:
            message = "'expires_after' is set by the service; leave it out."
            yield SessionFieldNotAllowedError(message, param="expires_after.seconds")


class AllowedVoices(NameList):
    """The voices that a caller may choose, by name or as a custom voice's ``{"id": …}``."""

    words = "voices the caller may choose: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        voice = request.changed(request.layout.voice)
        name = voice.get("id") if isinstance(voice, dict) else voice
        if voice is not MISSING and name not in self:
            yield not_allowed(self.refusal("voice", name), request.layout.voice)


class AllowedTools(NameList):
    """The functions that a caller may bring, by name."""

    words = "tools the caller may bring: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for name in request.new_functions:
            if name not in self:
                yield not_allowed(self.refusal("tool", name), request.layout.tools)


class AllowedServers(NameList):
    """The remote MCP servers that a caller may bring as tools: by URL, connector or tunnel.

    A kind of tool that this service does not know may reach as far, and is refused.
    """

    words = "remote MCP servers the caller may bring: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        message = "Tools other than functions reach other systems and are not available to you."
        for destinations in request.new_destinations:
            if not destinations or not all(destination in self for destination in destinations):
                yield not_allowed(message, request.layout.tools)


class AllowedPrompts(NameList):
    """The stored prompts of the company's account that a caller may use, by id."""

    words = "stored prompts the caller may use: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        prompt = request.changed(request.layout.prompt)
        allowed = prompt in (MISSING, None) or (isinstance(prompt, dict) and prompt.get("id") in self)
        if not allowed:
            yield not_allowed("This stored prompt is not available to you.", request.layout.prompt)


class Tracing(Rule[bool]):
    """Whether a caller may write traces into the company's account; to switch tracing off is always fine."""

    parsed_as = bool
    words = "the caller may not switch on tracing"
    unlimited = True

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        if request.changed(request.layout.tracing) not in (MISSING, None):
            yield not_allowed("You may not set 'session.tracing'.", request.layout.tracing)


Number = Annotated[float, AfterValidator(lambda number: int(number) if number.is_integer() else number)]
"""Whole where it can be, as people write it and as the vendor wants its token counts."""


class Range(StrictModel):
    """The range of a number; a bare number is its maximum."""

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_number(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"max": value} if is_number else value

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError('needs "max" or "min", a number')
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError('"min" is above "max", so no value would do')
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Publish the bare number too."""
        schema = handler(core)
        return {"anyOf": [{"type": "number"}, handler.resolve_ref_schema(schema)]}

    def __contains__(self, value: object) -> bool:
        """Return whether a value is a number in the range; ``true`` and ``"inf"`` are not."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        ends = (("at least", self.min), ("at most", self.max))
        return "a number " + " and ".join(f"{word} {end}" for word, end in ends if end is not None)


class Bounds(Rule[dict[DottedPath, Range]]):
    """Ranges of numbers in what is sent, by path."""

    parsed_as = dict[DottedPath, Range]

    def parts(self, source: str) -> Iterator[SourcedRule]:
        for name, limits in self.value.items():
            yield SourcedRule(f"{source}.{name}", Bounds({name: limits}))

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for name, limits in self.value.items():
            value = get(request.session, path := split_path(name))
            if value is not MISSING and value not in limits:
                yield not_allowed(f"'{session_member(path)}' must be {limits} here.", path)

    def clamp(self, request: ResolvedRequest) -> ResolvedRequest:
        """Send the maximum of a conversation's output where the member's absence would mean no limit at all."""
        path = request.layout.output_limit
        limits = self.value.get(".".join(path))
        if (
            request.session_type != "realtime"
            or not limits
            or limits.max is None
            or not request.is_unset(path)
        ):
            return request
        sent = get(request.session, path)  # a wider rule may have put its own maximum there
        if sent is not MISSING and sent <= limits.max:
            return request
        return replace(request, session=put(request.session, path, int(limits.max)))

    def describe(self) -> str:
        return "; ".join(f"{name}: {limits}" for name, limits in self.value.items())
