"""Rules about what the caller brings: fields, voices, tools, and what reaches beyond the conversation.

What the admin wrote into a profile or the defaults is the admin's word and passes. To repeat it is to
bring nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.errors import SessionFieldNotAllowedError
from service.policy.paths import MISSING, Path, dotted, get, overlap, same, within
from service.policy.rules import Rule
from service.policy.words import choice, listed, member, shown
from service.wire import MCP_DESTINATIONS, PROMPT_PATH, TOOLS_PATH, TRACING_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.errors import ServiceError
    from service.policy.draft import Draft


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


def brought_tools(draft: Draft) -> Iterator[Any]:
    """List the tools that are not the admin's own; what is no list counts as one unknown tool."""
    if not draft.changes_at(TOOLS_PATH):
        return
    tools = get(draft.session, TOOLS_PATH)
    own = get(draft.base, TOOLS_PATH)
    for tool in tools if isinstance(tools, list) else [tools]:
        if not (isinstance(own, list) and any(same(tool, mine) for mine in own)):
            yield tool


def is_function(tool: Any) -> bool:
    """Tell whether a tool is a function, which runs on the client; the vendor lets its type be left out."""
    return isinstance(tool, dict) and tool.get("type", "function") == "function"


@dataclass(frozen=True, slots=True)
class AllowedTools(Rule):
    """The functions a caller may bring, by name."""

    names: tuple[str, ...]

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse any other."""
        for tool in brought_tools(draft):
            if is_function(tool) and tool.get("name") not in self.names:
                yield not_allowed(
                    f"The tool {shown(tool.get('name'))} is not available to you. {choice(self.names)}",
                    TOOLS_PATH,
                )

    def in_words(self) -> str:
        """Name them."""
        return f"tools the caller may bring: {listed(self.names)}"


@dataclass(frozen=True, slots=True)
class AllowedServers(Rule):
    """The remote MCP servers a caller may bring as tools: by URL, connector or tunnel.

    The vendor calls them on the company's account. A kind of tool that this service does not know may do
    as much, and is refused.
    """

    servers: tuple[str, ...]

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse any other, and any tool of another kind."""
        for tool in brought_tools(draft):
            if not is_function(tool) and not self._is_allowed(tool):
                yield not_allowed(
                    "Tools other than functions reach other systems and are not available to you.", TOOLS_PATH
                )

    def _is_allowed(self, tool: Any) -> bool:
        if not isinstance(tool, dict) or tool.get("type") != "mcp":
            return False
        destinations = [tool[member] for member in MCP_DESTINATIONS if member in tool]
        return bool(destinations) and all(where in self.servers for where in destinations)

    def in_words(self) -> str:
        """Name them."""
        return f"remote MCP servers the caller may bring: {listed(self.servers)}"


@dataclass(frozen=True, slots=True)
class AllowedPrompts(Rule):
    """The stored prompts of the company's account that a caller may use, by id."""

    ids: tuple[str, ...]

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse any other."""
        prompt = get(draft.session, PROMPT_PATH)
        if prompt in (MISSING, None) or not draft.changes_at(PROMPT_PATH):
            return
        if not isinstance(prompt, dict) or prompt.get("id") not in self.ids:
            yield not_allowed("This stored prompt is not available to you.", PROMPT_PATH)

    def in_words(self) -> str:
        """Name them."""
        return f"stored prompts the caller may use: {listed(self.ids)}"


@dataclass(frozen=True, slots=True)
class NoTracing(Rule):
    """A caller may not write traces into the company's account; to switch tracing off is fine."""

    def refusals(self, draft: Draft) -> Iterator[ServiceError]:
        """Refuse any trace."""
        if get(draft.session, TRACING_PATH) not in (MISSING, None) and draft.changes_at(TRACING_PATH):
            yield not_allowed("'session.tracing' is not yours to set.", TRACING_PATH)

    def in_words(self) -> str:
        """Say so."""
        return "the caller may not switch on tracing"
