"""Make the part that keeps calls: where they are kept, who ends them, and what bounds them."""

from __future__ import annotations

import atexit
import re
from dataclasses import dataclass
from typing import Final

from service.calls.endings import KeeperEvents, VendorCalls
from service.calls.errors import CallNotFoundError
from service.calls.first_endings import FirstEndings
from service.calls.keeper import Keeper
from service.calls.memory_registry import MemoryCalls
from service.calls.model import Call, Cause, Change
from service.calls.redis_registry import RedisCalls
from service.calls.registry import CallRegistry
from service.calls.rules import CallRules
from service.calls.settings import CallSettings
from service.store import MemoryStore, Store

OPENING_MARGIN = 5.0
"""Seconds after ``UPSTREAM_TIMEOUT`` at which an opening that nobody finished has an unknown outcome."""


_STOP_SECONDS: Final = 20.0
_CALL_ID: Final = re.compile(r"call_[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Calls:
    """The parts that open, keep and end calls in one process, and what can be done with calls that are open."""

    registry: CallRegistry
    keeper: Keeper
    rules: CallRules
    first_endings: FirstEndings

    def keep(self) -> None:
        """Begin to look after calls in this process, unless that was done; those kept in memory end with it."""
        if self.keeper.is_running:
            return
        if self.keeper.start() and not self.registry.survives_process:
            atexit.register(self.keeper.stop, _STOP_SECONDS)  # does nothing where the server has stopped it

    def find(self, call_id: str, user: str) -> Call:
        """Return a call of a user that is open, or ended within the last hour.

        Raises:
            CallNotFoundError: there is none of this id, or it is somebody else's.
        """
        call = self.registry.get(call_id) if is_call_id(call_id) else None
        if call is None or call.user != user or call.state == "opening":
            raise CallNotFoundError
        return call

    def end(self, call_id: str, cause: Cause, *, user: str | None = None) -> Change | None:
        """Start ending a call, and begin at once; ``None`` where there is no such call (of that user)."""
        if not is_call_id(call_id):
            return None
        change = self.registry.end(call_id, cause, user=user)
        if user:
            self.first_endings.note(call_id, user)
        if change and change.changed:
            self.keeper.wake()
        return change

    def admits_ending(self, call_id: str, user: str) -> bool:
        """Return whether a user may try to end a call although their limit of such requests is used up."""
        return is_call_id(call_id) and self.first_endings.admits(call_id, user)

    def end_user(self, user: str, cause: Cause) -> int:
        """Start ending all calls of a user; returns how many there were."""
        ended = self.registry.end_user(user, cause)
        self.keeper.wake()
        return len(ended)


def is_call_id(text: str) -> bool:
    """Return whether a text could be the id of a call; what could not be one is not looked for."""
    return _CALL_ID.fullmatch(text) is not None


def build_registry(store: Store, *, upstream_timeout: float, checked: bool = True) -> CallRegistry:
    """Choose where calls are kept by the kind of store. ``checked`` calls are asked whether they still run."""
    opening_seconds = upstream_timeout + OPENING_MARGIN
    if isinstance(store, MemoryStore):
        return MemoryCalls(store, opening_seconds=opening_seconds, checked=checked)
    return RedisCalls(store, opening_seconds=opening_seconds, checked=checked)


def build(
    settings: CallSettings,
    rules: CallRules,
    *,
    store: Store,
    vendor: VendorCalls,
    upstream_timeout: float,
    events: KeeperEvents,
) -> Calls:
    """Make the parts. The keeper is started by whoever runs the process, never before a fork."""
    check_seconds = settings.call_check_seconds
    registry = build_registry(store, upstream_timeout=upstream_timeout, checked=check_seconds > 0)
    keeper = Keeper(registry, vendor, check_seconds=check_seconds, events=events)
    first_endings = FirstEndings(keeper.own, shared=registry.survives_process)
    return Calls(registry, keeper, rules, first_endings)
