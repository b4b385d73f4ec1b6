"""A request on its way to a grant: what the caller asks, laid over what the admin prepared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from service.core.model import Caller, SessionType
from service.policy.paths import MISSING, Path, get, leaves, overlap, same
from service.policy.words import member
from service.vendors.wire import model_path


@dataclass(frozen=True)
class Draft:
    """A resolved request. No ``slots``: what the caller changes is worked out once, where a rule asks.

    ``base`` is what the caller would get by asking for nothing, ``given`` what the caller brings and
    ``session`` the one laid over the other, as it would be sent. ``asked_seconds`` is the life the caller
    asks for, ``prepared_seconds`` what it is otherwise, and ``expires_in`` what it would be now.
    ``model_param`` is what to blame for the model: the top-level member, or the session's.
    """

    caller: Caller
    profile: str | None
    session_type: SessionType
    base: Mapping[str, Any]
    given: Mapping[str, Any]
    session: Mapping[str, Any]
    model_param: str
    asked_seconds: int | None
    prepared_seconds: int
    expires_in: int

    @cached_property
    def changes(self) -> tuple[Path, ...]:
        """Where the caller departs from ``base``. To repeat what would be sent anyway changes nothing."""
        given = (path for path, _ in leaves(self.given))
        return tuple(path for path in given if not same(get(self.session, path), get(self.base, path)))

    def changes_at(self, path: Path) -> bool:
        """Tell whether the caller has a say in what is sent at a path."""
        return any(overlap(path, change) for change in self.changes)

    def is_unset(self, path: Path) -> bool:
        """Tell whether neither the admin nor the caller put anything at a path."""
        return get(self.base, path) is MISSING and get(self.given, path) is MISSING

    @property
    def model(self) -> Any:
        """The session's own model, ``MISSING`` where there is none."""
        return get(self.session, model_path(self.session_type))

    def models(self) -> Iterator[tuple[str, Any]]:
        """List the models to answer for, each with the member to blame.

        Of a transcription session that is every model in it; of the others the session's own, and a
        transcription model nested in a conversation rides along.
        """
        own = model_path(self.session_type)
        yield self.model_param, self.model
        if self.session_type == "transcription":
            for path, value in leaves(self.session):
                if path[-1] == "model" and path != own:
                    yield member(path), value
