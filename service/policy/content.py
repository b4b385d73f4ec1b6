"""Rules about what the caller brings: fields, locked members, voices.

What the admin wrote into a profile or the defaults is the admin's word and passes. To repeat it is to
bring nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.core.errors import ServiceError, SessionFieldNotAllowedError
from service.policy.draft import Draft
from service.policy.paths import MISSING, Path, dotted, get, overlap, same, within
from service.policy.rules import Rule
from service.policy.words import choice, listed, member, shown


def not_allowed(message: str, path: Path) -> SessionFieldNotAllowedError:
    """Refuse a member of the session."""
    return SessionFieldNotAllowedError(message, param=member(path))


@dataclass(frozen=True, slots=True)
class OnlyFields(Rule):
    """The only members a caller may set, each with all below it."""

    paths: tuple[Path, ...]

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse every other."""
        for change in draft.changes:
            if not any(within(change, path) for path in self.paths):
                yield not_allowed(f"'{member(change)}' is not yours to set.", change)

    def in_words(self) -> str:
        """Name them."""
        return f"the caller may set only: {listed([dotted(path) for path in self.paths])}"


@dataclass(frozen=True, slots=True)
class NotFields(Rule):
    """The members a caller may not set, nor anything below or around them."""

    paths: tuple[Path, ...]

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse them."""
        for change in draft.changes:
            if any(overlap(change, path) for path in self.paths):
                yield not_allowed(f"'{member(change)}' is not yours to set.", change)

    def in_words(self) -> str:
        """Name them."""
        return f"the caller may not set: {listed([dotted(path) for path in self.paths])}"


@dataclass(frozen=True, slots=True)
class Locked(Rule):
    """The members of a profile that are sent exactly as the profile has them, also where it has none."""

    paths: tuple[Path, ...]
    expires_in: bool = False

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse a session that differs there."""
        for path in self.paths:
            if draft.is_unset(path) or same(get(draft.session, path), get(draft.base, path)):
                continue
            yield not_allowed(f"'{member(path)}' is set by the service; leave it out.", path)
        if self.expires_in and draft.asked_seconds not in {None, draft.prepared_seconds}:
            yield SessionFieldNotAllowedError(
                "'expires_after' is set by the service; leave it out.", param="expires_after.seconds"
            )

    def in_words(self) -> str:
        """Name them."""
        names = [dotted(path) for path in self.paths] + ["expires_in"] * self.expires_in
        return f"the caller may not change: {listed(names)}"


@dataclass(frozen=True, slots=True)
class AllowedVoices(Rule):
    """The voices a caller may choose."""

    path: Path
    voices: tuple[str, ...]

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse any other, be it named or a custom voice's ``{"id": …}``."""
        voice = get(draft.session, self.path)
        if voice is MISSING or not draft.changes_at(self.path):
            return
        name = voice.get("id") if isinstance(voice, dict) else voice
        if name not in self.voices:
            yield not_allowed(
                f"The voice {shown(name)} is not available to you. {choice(self.voices)}", self.path
            )

    def in_words(self) -> str:
        """Name them."""
        return f"voices the caller may choose: {listed(self.voices)}"
