"""Opening a call: reserve, ask the vendor, record. No call is open at the vendor that nobody can end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from service.calls.errors import CallRegistryUnavailableError
from service.calls.keeper import Keeper
from service.calls.model import Call, CallRequest, Reservation
from service.calls.registry import CallRegistry
from service.core.errors import ServiceError


class VendorAnswer(Protocol):
    """What the vendor answers to an opening, as far as it matters here."""

    @property
    def upstream_id(self) -> str:
        """The session's id at the vendor."""


AnswerT = TypeVar("AnswerT", bound=VendorAnswer)


class OpeningFailedError(Exception):
    """The vendor opened no call as far as we know. ``error`` is what the caller is answered.

    ``definite``: surely nothing runs (any 4xx, a 500 or 503 with the vendor's error object, a connection that could
    not be made), so everything is given back. Otherwise a session may be running that nobody can find. ``call`` is the
    one that was to be opened.
    """

    call: Call | None = None

    def __init__(self, error: ServiceError, *, definite: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.definite = definite


@dataclass(frozen=True, slots=True)
class OpenedCall(Generic[AnswerT]):
    """An open call, what was reserved for it, and the vendor's answer."""

    call: Call
    reservation: Reservation
    answer: AnswerT


def open_call(
    registry: CallRegistry, keeper: Keeper, request: CallRequest, ask: Callable[[Reservation], AnswerT]
) -> OpenedCall[AnswerT]:
    """Open a call; ``ask`` puts it to the vendor once, and raises ``OpeningFailedError`` where that fails.

    Whatever else ``ask`` raises leaves the outcome unknown and is passed on.

    Raises:
        TooManyCallsError: no slot is free.
        CallMinutesExhaustedError: under 30 s are left.
        CallEndedError: the call was ended meanwhile.
        CallRegistryUnavailableError: calls cannot be counted now, or this process cannot end them.
        ServiceError: what ``OpeningFailedError`` carries.
    """
    if not keeper.is_running:
        raise CallRegistryUnavailableError(
            "Calls cannot be opened at the moment. Try again shortly.",
            reason="the background task that ends calls is not running in this process",
            retry_after=1,
        )
    reservation = registry.reserve(request)
    call_id = reservation.call.id
    try:
        answer = ask(reservation)
    except OpeningFailedError as failure:
        # Without the storage the call becomes unknown by itself when its opening has taken too long.
        with suppress(CallRegistryUnavailableError):
            (registry.refuse if failure.definite else registry.lose)(call_id)
        failure.call = reservation.call
        raise failure.error from failure
    except BaseException:  # a greenlet that is killed leaves a session behind as well
        with suppress(CallRegistryUnavailableError):
            registry.lose(call_id)
        raise
    return OpenedCall(keeper.record(reservation.call, answer.upstream_id), reservation, answer)
