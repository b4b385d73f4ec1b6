"""The rules, one small frozen value each: what it refuses, what it caps, and how it reads in words.

A decision is the conjunction of all rules that apply, so adding one can only narrow what is granted.
The rules here are about cost and look at what would be sent, whoever put it there; those about content
(``service.policy.content``) look at what the caller brings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from service.core.errors import (
    InvalidValueError,
    ModelNotAllowedError,
    ServiceError,
    SessionFieldNotAllowedError,
)
from service.core.model import SessionType
from service.policy.draft import Draft
from service.policy.paths import MISSING, Path, dotted, get, put
from service.policy.words import choice, listed, member, shown


@dataclass(frozen=True, slots=True)
class Rule(ABC):
    """One thing the admin decided; ``source`` says where, as ``ALLOWED_MODELS`` or ``rules[0].voices``."""

    source: str

    @abstractmethod
    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse, as often as there is cause."""

    @abstractmethod
    def in_words(self) -> str:
        """Say what the rule holds, for ``--explain``."""

    def cap(self, draft: Draft) -> Draft:
        """Lower what nobody asked for to what the rule grants; what was asked for is refused instead."""
        return draft


@dataclass(frozen=True, slots=True)
class AllowedModels(Rule):
    """The models a session may run on."""

    models: tuple[str, ...]

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse every model that is not among them."""
        for param, model in draft.models():
            if model not in self.models:
                yield ModelNotAllowedError(
                    f"The model {shown(model)} is not available to you. {choice(self.models)}",
                    param=param,
                )

    def in_words(self) -> str:
        """Name them."""
        return f"models: {listed(self.models)}"


@dataclass(frozen=True, slots=True)
class AllowedTypes(Rule):
    """The types of session that may be opened."""

    types: tuple[SessionType, ...]

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse a session of any other type."""
        if draft.session_type not in self.types:
            yield SessionFieldNotAllowedError(
                f"Sessions of type {draft.session_type} are not available to you. {choice(self.types)}",
                param="session.type",
            )

    def in_words(self) -> str:
        """Name them."""
        return f"session types: {listed(self.types)}"


@dataclass(frozen=True, slots=True)
class LongestLife(Rule):
    """How long a secret may live, in seconds."""

    seconds: int

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse a longer life."""
        if draft.expires_in > self.seconds:
            yield InvalidValueError(
                f"Invalid value for 'expires_after.seconds': a secret lives at most {self.seconds} seconds.",
                param="expires_after.seconds",
            )

    def cap(self, draft: Draft) -> Draft:
        """Shorten a life that nobody asked for."""
        if draft.asked_seconds is None and draft.expires_in > self.seconds:
            return replace(draft, expires_in=self.seconds)
        return draft

    def in_words(self) -> str:
        """Name the life."""
        return f"a secret lives at most {self.seconds} seconds"


@dataclass(frozen=True, slots=True)
class Bound(Rule):
    """The range of a number in the session.

    ``unlimited_if_absent``: the vendor takes the member's absence in a conversation for no limit at all,
    so the maximum is sent where nobody set one.
    """

    path: Path
    minimum: float | None = None
    maximum: float | None = None
    unlimited_if_absent: bool = False

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse what is outside the range, and what is no number (``"inf"`` is none)."""
        value = get(draft.session, self.path)
        if value is not MISSING and not self._holds(value):
            yield SessionFieldNotAllowedError(
                f"'{member(self.path)}' must be {self._range()} here.",
                param=member(self.path),
            )

    def cap(self, draft: Draft) -> Draft:
        """Send the maximum where absence would mean none, or where a wider rule sent its own."""
        if not (self.unlimited_if_absent and draft.session_type == "realtime" and draft.is_unset(self.path)):
            return draft
        sent = get(draft.session, self.path)
        if self.maximum is None or (sent is not MISSING and sent <= self.maximum):
            return draft
        return replace(draft, session=put(draft.session, self.path, int(self.maximum)))

    def _holds(self, value: Any) -> bool:
        if type(value) not in {int, float}:
            return False
        not_below = self.minimum is None or value >= self.minimum
        return not_below and (self.maximum is None or value <= self.maximum)

    def _range(self) -> str:
        ends = (("at least", self.minimum), ("at most", self.maximum))
        return "a number " + " and ".join(f"{word} {end}" for word, end in ends if end is not None)

    def in_words(self) -> str:
        """Name the range."""
        return f"{dotted(self.path)}: {self._range()}"
