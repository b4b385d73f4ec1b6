"""What a call is: its values, its states, and the moves between them.

A call is ``opening`` from its reservation until the vendor's id is recorded, ``open`` until it must end, ``ending``
until the vendor confirms, then ``ended``. The outcome of an opening may stay unknown (no answer, or the process
died): such a call is ``ending`` without an id of the vendor's for two minutes, since a session may be running.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from service.budgets import MINIMUM_GRANT, MinuteLimit, MinuteStatus

CallType = Literal["realtime", "live"]
State = Literal["opening", "open", "ending", "ended"]
Cause = Literal["client", "deadline", "replaced", "revoked", "admin", "vendor", "shutdown", "unknown"]
Event = Literal["record", "refuse", "lose", "end", "confirm"]

MOVES: Final[Mapping[Event, Mapping[State, State | None]]] = MappingProxyType(
    {
        # The vendor's id became known. One that ends already is only given its id, so that it can be ended.
        "record": {"opening": "open", "ending": "ending"},
        # The vendor refused: the call is forgotten, as if it had never been.
        "refuse": {"opening": None, "ending": None},
        # It is unknown whether the vendor opened a session.
        "lose": {"opening": "ending", "ending": "ending"},
        # Its time is up, or somebody wants it to end.
        "end": {"opening": "ending", "open": "ending"},
        # The vendor confirmed, or the session was found ended.
        "confirm": {"open": "ended", "ending": "ended"},
    }
)
"""For each event the states in which it may happen, and the state it leads to. Both registries move calls by it."""

UNKNOWN_SECONDS: Final = 120
"""How long an opening of unknown outcome counts against ``CALLS_GLOBAL``."""

CONNECTING_SECONDS: Final = 120
"""How long after ``opened_at`` the vendor's 404 may mean "not connected yet" instead of "ended"."""

ENDED_KEPT_SECONDS: Final = 3600
"""How long an ended call can still be read."""

ENDING_SHARE: Final = 2
"""One user's calls that are being ended hold at most half of ``CALLS_GLOBAL``."""


ENDING_RETRY_SECONDS: Final = 5
"""After how long a user who holds more may try again: ending a call takes half a second as a rule, at most 15."""

VENDOR_MAXIMUM_SECONDS: Final[Mapping[CallType, int]] = MappingProxyType({"realtime": 3600, "live": 7200})
"""Seconds after which the vendor ends a session by itself (the Realtime guide; for Live observed)."""


def new_call_id() -> str:
    """Make an id nobody can guess: 128 random bits."""
    return f"call_{secrets.token_hex(16)}"


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the registry keeps it. Times are in milliseconds of the storage's clock, since the epoch.

    ``user`` is the pseudonym. ``sequence`` orders calls by their reservation. ``windows`` names the windows of minutes
    it was reserved in, each with its id: the user's of a day is ``u86400``, that of all users ``a86400``. ``attempts``
    counts how often ending it was begun; it tells claims of one call apart. ``confirmation`` names that of its
    end.
    """

    id: str
    user: str
    type: CallType
    model: str
    state: State
    sequence: int
    opened_ms: int
    reserved_ms: int
    windows: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    upstream_id: str | None = None
    attempts: int = 0
    ended_by: Cause | None = None
    ended_ms: int | None = None
    elapsed_ms: int | None = None
    charged_ms: int | None = None
    confirmation: str | None = None

    @property
    def opened_at(self) -> float:
        """When it was opened, in seconds; until then when it was reserved."""
        return self.opened_ms / 1000

    @property
    def max_seconds(self) -> int:
        """How long it may last."""
        return self.reserved_ms // 1000

    @property
    def expires_at(self) -> float:
        """When it is ended at the latest, in seconds."""
        return (self.opened_ms + self.reserved_ms) / 1000

    @property
    def ended_at(self) -> float | None:
        """When its end was confirmed, in seconds."""
        return None if self.ended_ms is None else self.ended_ms / 1000

    @property
    def seconds(self) -> float | None:
        """How long it was open, once it has ended."""
        return None if self.elapsed_ms is None else self.elapsed_ms / 1000

    @property
    def charged_seconds(self) -> float | None:
        """What it was charged, once that is settled."""
        return None if self.charged_ms is None else self.charged_ms / 1000

    def as_json(self) -> dict[str, Any]:
        """Write it down as the public routes show it: without its user and the vendor's id."""
        shown: dict[str, Any] = {
            "id": self.id,
            "type": self.type,
            "model": self.model,
            "state": self.state,
            "opened_at": int(self.opened_at),
            "expires_at": int(self.expires_at),
            "max_seconds": self.max_seconds,
        }
        if self.state == "ended":
            shown |= {"ended_at": int(self.ended_at or 0), "seconds": self.seconds, "ended_by": self.ended_by}
        return shown


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What bounds a user's calls: how many at once, what happens beyond, how many of all users, and minutes."""

    calls: int
    at_limit: Literal["replace", "refuse"]
    calls_global: int
    minutes: tuple[MinuteLimit, ...] = ()
    minutes_global: tuple[MinuteLimit, ...] = ()

    @property
    def ending(self) -> int:
        """How many of a user's calls may be in the course of being ended when another one is opened."""
        return max(2 * self.calls, self.calls_global // ENDING_SHARE)


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call that a user may open as far as policy goes; ``seconds`` is the longest it may last.

    ``read`` names a key of the store that is read in the same step, after which nothing can come in between.

    Raises:
        ValueError: with under 30 seconds, which no call is opened for.
    """

    user: str
    type: CallType
    model: str
    seconds: int
    limits: CallLimits
    read: str | None = None

    def __post_init__(self) -> None:
        if self.seconds < MINIMUM_GRANT:
            raise ValueError(f"a call of {self.seconds} s is too short; ask for {MINIMUM_GRANT} s or more")


@dataclass(frozen=True, slots=True)
class Reservation:
    """A call that may now be opened, the ids of those that it replaces, and how the user's minutes stand.

    ``value`` is that of the key which the request had read.
    """

    call: Call
    replaced: tuple[str, ...]
    minutes: tuple[MinuteStatus, ...]
    value: Any = None


@dataclass(frozen=True, slots=True)
class Change:
    """What an operation made of a call: ``changed`` only for the one that made the move."""

    call: Call
    changed: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A due call that this process is to end, for as long as it renews the claim; ``late_ms`` is how long it waited."""

    call: Call
    late_ms: int


@dataclass(frozen=True, slots=True)
class PollRequest:
    """How many calls a look may take, for ending and for checking, and the ids whose state it asks besides.

    ``lease`` and ``check_every`` are in seconds; 0 checks nothing.
    """

    endings: int
    checks: int
    lease: float
    check_every: float
    own: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Poll:
    """What a look found, at ``now_ms`` of the storage's clock.

    ``lost`` are openings whose outcome has just become unknown, ``ended`` those whose two minutes are over,
    ``checks`` open calls to be asked whether they still run, ``next_ms`` when the next call is due (if any is known),
    ``own`` the state of each id that was asked for: ``None`` where the storage lacks the call, ``opening`` where it
    lacks the call's id at the vendor.
    """

    now_ms: int
    claims: tuple[Claim, ...]
    lost: tuple[Call, ...]
    ended: tuple[Call, ...]
    checks: tuple[Call, ...]
    next_ms: int | None
    own: Mapping[str, State | None]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many calls are opening, open or ending, and how many of them are due but claimed by no process."""

    active: int
    due: int
