"""Rules about who: claims that a profile requires, and profiles that a caller may name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.core.errors import (
    InsufficientScopeError,
    InvalidValueError,
    ServiceError,
    SessionFieldNotAllowedError,
)
from service.policy.conditions import SCOPE, Condition
from service.policy.draft import Draft
from service.policy.rules import Rule
from service.policy.templates import text_of
from service.policy.words import choice, listed, shown


@dataclass(frozen=True, slots=True)
class Requires(Rule):
    """What a caller's claims must say."""

    condition: Condition

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse a caller whose claims do not."""
        if self.condition.holds(draft.caller.claims):
            return
        if self.condition.claim == SCOPE:
            yield InsufficientScopeError(" ".join(str(value) for value in self.condition.values))
        else:
            yield SessionFieldNotAllowedError("This profile is not available to you.", param="profile")

    def in_words(self) -> str:
        """Say it."""
        return f"for callers whose {self.condition.in_words()}"


@dataclass(frozen=True, slots=True)
class NeedsClaims(Rule):
    """The claims that a profile's text is filled in with; without them it would not be the admin's text."""

    claims: tuple[str, ...]

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse a caller who lacks one."""
        for claim in self.claims:
            if not text_of(draft.caller, claim):
                yield SessionFieldNotAllowedError(
                    f"Your access token lacks the claim {shown(claim)}, which this session needs.",
                    param="profile",
                )

    def in_words(self) -> str:
        """Name them."""
        return f"text is filled in from the caller's claims: {listed(self.claims)}"


@dataclass(frozen=True, slots=True)
class AllowedProfiles(Rule):
    """The profiles a caller may name."""

    names: tuple[str, ...]

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse any other."""
        if draft.profile is not None and draft.profile not in self.names:
            yield SessionFieldNotAllowedError(
                f"This profile is not available to you. {choice(self.names)}", param="profile"
            )

    def in_words(self) -> str:
        """Name them."""
        return f"profiles: {listed(self.names)}"


@dataclass(frozen=True, slots=True)
class ProfileRequired(Rule):
    """A caller must name a profile."""

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse a caller who names none."""
        if draft.profile is None:
            yield InvalidValueError("Name a profile in 'profile'; there is none by default.", param="profile")

    def in_words(self) -> str:
        """Say so."""
        return "the caller must name a profile"
