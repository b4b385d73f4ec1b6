"""A request with everything filled in: what the caller asks for, merged over what the admin prepared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from service.core.model import Action, Caller, SessionType
from service.policy.json_path import (
    MISSING,
    Path,
    PathTree,
    canonical,
    differences,
    get,
    overlaps,
    session_member,
)
from service.vendors.base import SessionLayout, model_path


@dataclass(frozen=True)
class ResolvedRequest:
    """What would be sent, and who put it there. Times are in seconds.

    ``base`` is what the caller would get by asking for nothing, ``given`` what the caller brings, and
    ``session`` both merged, as it would be sent. ``requested_seconds`` is the secret's life that the caller
    asks for, ``default_seconds`` what it is otherwise, and ``expires_in`` what it would be now.
    ``model_param`` is the member to blame for the model: the top-level one, or the session's.
    ``max_call_seconds`` is how long a call may last, as far as the caller and the rules say.

    There are no ``slots``: what follows from the fields is computed once, when a rule first asks.
    """

    caller: Caller
    profile: str | None
    session_type: SessionType
    layout: SessionLayout
    base: Mapping[str, Any]
    given: Mapping[str, Any]
    session: Mapping[str, Any]
    model_param: str
    requested_seconds: int | None
    default_seconds: int
    expires_in: int
    action: Action = "secret"
    max_call_seconds: int | None = None

    @cached_property
    def changes(self) -> PathTree:
        """The paths at which the caller changes ``base``. To repeat what would be sent anyway changes nothing."""
        return differences(self.given, self.base)

    @cached_property
    def new_functions(self) -> tuple[Any, ...]:
        """The distinct names of the functions that the caller adds to the admin's own tools."""
        names = (tool.get("name") for tool in self._new_tools if _is_function(tool))
        return _distinct(names)

    @cached_property
    def new_destinations(self) -> tuple[tuple[Any, ...], ...]:
        """For each other tool that the caller adds, where it leads; ``()`` where that is not known."""
        members = self.layout.mcp_destinations
        return _distinct(
            tuple(tool[name] for name in members if name in tool)
            if isinstance(tool, dict) and tool.get("type") == "mcp"
            else ()
            for tool in self._new_tools
            if not _is_function(tool)
        )

    @cached_property
    def _new_tools(self) -> list[Any]:
        tools = self.changed(self.layout.tools)
        if tools is MISSING:
            return []
        brought = tools if isinstance(tools, list) else [tools]
        own = get(self.base, self.layout.tools)
        if not isinstance(own, list) or not own:
            return brought
        known = set(map(canonical, own))
        return [tool for tool in brought if canonical(tool) not in known]

    def changed(self, path: Path) -> Any:
        """Return what would be sent at a path if the caller has a say in it, else ``MISSING``."""
        return get(self.session, path) if overlaps(self.changes, path) else MISSING

    def differs(self, path: Path) -> bool:
        """Return whether the caller makes what is sent at a path differ from what the admin prepared there."""
        absent = get(self.session, path) is MISSING and get(self.base, path) is MISSING
        return not absent and overlaps(self.changes, path)

    def is_unset(self, path: Path) -> bool:
        """Return whether neither the admin nor the caller set anything at a path."""
        return get(self.base, path) is MISSING and get(self.given, path) is MISSING

    @cached_property
    def model_path(self) -> Path:
        """Where a session of this type keeps its own model."""
        return model_path(self.session_type)

    @cached_property
    def model(self) -> Any:
        """The session's own model."""
        return get(self.session, self.model_path)

    def models(self) -> Iterator[tuple[Any, Path]]:
        """List the models to check, each with its path.

        That is every model in a transcription session, and the session's own in the others: a transcription
        model that is nested in a conversation is not checked.
        """
        own = self.model_path
        yield self.model, own
        if self.session_type == "transcription":
            yield from ((model, path) for model, path in _members_named_model(self.session) if path != own)

    def model_member(self, path: Path) -> str:
        """Name the member to blame for the model at a path."""
        return self.model_param if path == self.model_path else session_member(path)


def _members_named_model(tree: Any, above: Path = ()) -> Iterator[tuple[Any, Path]]:
    """Find them in objects and in lists of objects, whose path is that of the list."""
    if isinstance(tree, list):
        for item in tree:
            yield from _members_named_model(item, above)
    elif isinstance(tree, Mapping):
        for name, value in tree.items():
            if isinstance(value, dict | list) and value:
                yield from _members_named_model(value, (*above, name))
            elif name == "model":
                yield value, (*above, name)


def _is_function(tool: Any) -> bool:
    """Return whether a tool is a function, which runs on the client; the vendor lets its type be left out."""
    return isinstance(tool, dict) and tool.get("type", "function") == "function"


def _distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """Drop repeated values, so that each is judged once; what cannot be hashed is kept."""
    kept: dict[Any, Any] = {}
    for value in values:
        try:
            kept.setdefault((type(value), value), value)
        except TypeError:
            kept[id(value)] = value
    return tuple(kept.values())
