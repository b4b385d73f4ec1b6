"""Rules about the members of a session that a caller brings: fields, locks and the voice.

What the admin wrote into a profile passes, and to repeat it is to bring nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import ClassVar, Self

from pydantic import Field, model_validator

from service.core.errors import ServiceError, SessionFieldNotAllowedError
from service.policy.formatting import join_names, session_member
from service.policy.json_path import MISSING, Path, PathTree, path_tree, paths_outside, paths_overlapping
from service.policy.request import ResolvedRequest
from service.policy.rules import DottedPath, NameList, Rule, RuleGroup, not_allowed, split_path


class FieldList(Rule[tuple[DottedPath, ...]]):
    """Members of the session, each with all below it; ``find`` picks a caller's changes that they do not allow."""

    parsed_as = tuple[DottedPath, ...]
    find: ClassVar[Callable[[PathTree, PathTree], Iterator[Path]]]

    @cached_property
    def _tree(self) -> PathTree:
        return path_tree(map(split_path, self.value))

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for path in type(self).find(request.changes, self._tree):
            yield not_allowed(f"'{session_member(path)}' is not yours to set.", path)


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
