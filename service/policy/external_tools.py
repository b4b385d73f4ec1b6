"""Rules about what acts: tools, and whatever works with the company's account.

A function runs on the client. Remote servers, stored prompts and traces are called, read and written by the
vendor on the company's account, so a document denies them unless it lists them.
"""

from __future__ import annotations

from collections.abc import Iterator

from service.core.errors import ServiceError
from service.policy.json_path import MISSING
from service.policy.request import ResolvedRequest
from service.policy.rules import NameList, Rule, not_allowed


class AllowedTools(NameList):
    """The functions that a caller may bring, by name."""

    words = "tools the caller may bring: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for name in request.new_functions:
            if name not in self:
                yield not_allowed(self.refusal("tool", name), request.layout.tools)


class AllowedServers(NameList):
    """The remote MCP servers that a caller may bring as tools: by URL, connector or tunnel.

    A kind of tool that this service does not know may reach as far, and is refused.
    """

    words = "remote MCP servers the caller may bring: {}"

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        message = "Tools other than functions reach other systems and are not available to you."
        for destinations in request.new_destinations:
            if not destinations or not all(destination in self for destination in destinations):
                yield not_allowed(message, request.layout.tools)


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
