"""Conditions on a caller's verified claims, as profiles and rules name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.core.claims import Claims, find_claim, has_scope
from service.policy.paths import same

SCOPE = "scope"
"""The one claim that is looked up as scopes are, and not by its value."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A claim is one of some values, or a list that holds one of them. Exact: there are no patterns."""

    claim: str
    values: tuple[str | int | bool, ...]

    def holds(self, claims: Claims) -> bool:
        """Tell whether verified claims meet it; an absent claim meets nothing."""
        if self.claim == SCOPE:
            return any(has_scope(claims, str(value)) for value in self.values)
        found = find_claim(claims, self.claim)
        candidates = found if isinstance(found, list) else [found]
        return any(same(candidate, value) for candidate in candidates for value in self.values)

    def in_words(self) -> str:
        """Say it as a clause."""
        return f"{self.claim} is {' or '.join(str(value) for value in self.values)}"


def conditions_of(claims: Mapping[str, tuple[Any, ...]]) -> tuple[Condition, ...]:
    """Make the claims that a document names conditions."""
    return tuple(Condition(claim, values) for claim, values in claims.items())
