"""Rules about what acts: tools, and whatever works with the company's account.

A function runs on the client. Remote servers, stored prompts and traces are called, read and written by the
vendor on the company's account, so a document denies them unless it lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.core.errors import ServiceError
from service.policy.json_path import MISSING
from service.policy.request import ResolvedRequest
from service.policy.rules import NameList, Rule, not_allowed


def is_function(tool: Any) -> bool:
    """Tell whether a tool is a function, which runs on the client; the vendor lets its type be left out."""
    return isinstance(tool, dict) and tool.get("type", "function") == "function"


class AllowedTools(NameList):
    """The functions that a caller may bring, by name."""

    words = "tools the caller may bring: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for tool in filter(is_function, request.new_tools):
            if tool.get("name") not in self:
                yield not_allowed(self.refusal("tool", tool.get("name")), request.layout.tools)


class AllowedServers(NameList):
    """The remote MCP servers that a caller may bring as tools: by URL, connector or tunnel.

    A kind of tool that this service does not know may reach as far, and is refused.
    """

    words = "remote MCP servers the caller may bring: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        message = "Tools other than functions reach other systems and are not available to you."
        for tool in request.new_tools:
            if not is_function(tool) and not self._allows(tool, request.layout.mcp_destinations):
                yield not_allowed(message, request.layout.tools)

    def _allows(self, tool: Any, members: tuple[str, ...]) -> bool:
        if not isinstance(tool, dict) or tool.get("type") != "mcp":
            return False
        destinations = [tool[member] for member in members if member in tool]
        return bool(destinations) and all(destination in self for destination in destinations)


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
            yield not_allowed("'session.tracing' is not yours to set.", request.layout.tracing)
