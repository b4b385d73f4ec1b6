"""The registry's interface: which calls there are, whose, until when, and who may have another one.

Every operation is one atomic step, in Redis one script. All raise ``CallRegistryUnavailableError`` while the storage
is unavailable; nothing was then decided that this process knows of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from service.budgets import MinuteLimit, MinuteStatus
from service.calls.model import (
    Call,
    CallRequest,
    Cause,
    Change,
    Counts,
    Poll,
    PollRequest,
    Reservation,
    State,
)

LISTED: Final[tuple[State, ...]] = ("open", "ending")
"""The states in which a call is listed unless others are asked for."""

PAGE: Final = 1000
"""How many calls one list holds at most."""


class CallRegistry(Protocol):
    """Where calls are kept: ``RedisCalls`` for several processes and restarts, ``MemoryCalls`` for one process."""

    @property
    def survives_process(self) -> bool:
        """Whether calls are known after this process has ended: not in memory, where it ends them itself."""

    def reserve(self, request: CallRequest) -> Reservation:
        """Take a slot and minutes for a new call, which is then ``opening``; or nothing at all.

        Raises:
            TooManyCallsError: the user's slots (``refuse``) or those of all users are taken.
            CallMinutesExhaustedError: under 30 s are left to the user, or to all users together.
        """

    def record(self, call_id: str, upstream_id: str) -> Call | None:
        """Note the vendor's id: a call that was ``opening`` is ``open``, and its time begins to run.

        One that was to end meanwhile is ``ending`` and due at once. ``None``, or ``ended``: the registry cannot have
        it ended any more, so the session must be ended by who opened it.
        """

    def refuse(self, call_id: str) -> None:
        """Give everything back: the vendor refused to open the call."""

    def lose(self, call_id: str) -> None:
        """Note that the outcome of an opening is unknown: 15 s are charged, and it counts globally for 120 s."""

    def end(self, call_id: str, cause: Cause, *, user: str | None = None) -> Change | None:
        """Start ending a call; ``None`` where there is none of that id (and of that user, where one is given)."""

    def end_user(self, user: str, cause: Cause) -> tuple[Call, ...]:
        """Start ending all calls of a user; returns those that were opening or open."""

    def poll(self, request: PollRequest) -> Poll:
        """Claim calls that are due, oldest first, and take open ones that are to be checked."""

    def postpone(self, claims: Iterable[tuple[Call, float]]) -> frozenset[str]:
        """Make claimed calls due again, each after its pause in seconds, all in one step.

        So claims are kept that would expire, and failed attempts are made again. Returns the ids of those that are
        still held; claims that were lost stay as they are.
        """

    def confirm(
        self,
        call_id: str,
        cause: Cause,
        *,
        told_ms: int | None = None,
        confirmation: str | None = None,
        ago_ms: int = 0,
    ) -> Change | None:
        """Note that a call has ended, ``ago_ms`` ago, and give its slot and unused minutes back.

        ``cause`` counts where the call was not ``ending`` already; ``told_ms`` is what the vendor says it bills.
        ``confirmation`` names this one: repeated, since its answer was lost, it counts as ``changed`` again.
        """

    def get(self, call_id: str) -> Call | None:
        """Read a call in any state, an ended one for an hour."""

    def list_calls(
        self,
        *,
        states: Sequence[State] = LISTED,
        user: str | None = None,
        after: str | None = None,
        limit: int = PAGE,
    ) -> tuple[Call, ...]:
        """List calls in these states, of all users or of one, oldest first; at most ``limit``, opened after ``after``.

        Raises:
            CallNotFoundError: ``after`` is not known (any more), or is somebody else's.
        """

    def minutes(self, user: str, limits: Sequence[MinuteLimit]) -> tuple[MinuteStatus, ...]:
        """Tell how a user's minutes stand, taking nothing."""

    def counts(self) -> Counts:
        """Count calls, for metrics."""
