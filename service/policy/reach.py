"""Rules about what a caller brings that acts: tools, and whatever works with the company's account.

A function runs on the client. Remote servers, stored prompts and traces are the vendor's to call, read and
write on the company's account, so a document closes them unless it lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.core.errors import ServiceError
from service.policy.content import not_allowed
from service.policy.draft import Draft
from service.policy.paths import MISSING, get, same
from service.policy.rules import Rule
from service.policy.words import choice, listed, shown
from service.vendors.wire import MCP_DESTINATIONS, PROMPT_PATH, TOOLS_PATH, TRACING_PATH


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
