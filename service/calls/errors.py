"""What a call can fail with, beside the errors of ``service.core.errors``.

ServiceError
├── CallNotFoundError                 404
├── CallEndedError                    409
├── CallLimitError                    429  a user, or all users together, may have no more calls now
│   ├── TooManyCallsError             429
│   └── CallMinutesExhaustedError     429
└── UnavailableError                  503
    └── CallRegistryUnavailableError  503
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, Self

from service.budgets import MinuteStatus
from service.core.errors import RateLimitStorageUnavailableError, ServiceError, UnavailableError

Bound = Literal["user", "global", "ending"]
"""What bounds calls at once: a user's slots, those of all users, and how many of a user's are being ended."""

_TOO_MANY: Final[Mapping[Bound, str]] = {
    "user": "You have reached the maximum number of open calls (user limit). End one, or try again later.",
    "global": "The service has reached its maximum number of open calls (global limit). Try again later.",
    "ending": "Too many of your calls are still being ended (user limit). Try again in a few seconds.",
}


class CallNotFoundError(ServiceError):
    """There is no such call, or it is somebody else's."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"

    def __init__(self) -> None:
        super().__init__("You have no call with this id.")


class CallEndedError(ServiceError):
    """The call was ended while it was being opened."""

    status = 409
    type = "invalid_request_error"
    code = "call_ended"


class CallLimitError(ServiceError):
    """No call may be opened now: ``limit`` says whose limit it is, ``user`` or ``global``.

    ``minutes`` is how the user's own minutes stand, for the ``RateLimit`` headers.
    """

    status = 429
    type = "rate_limit_error"

    def __init__(
        self, message: str, *, limit: str, retry_after: float, minutes: tuple[MinuteStatus, ...] = ()
    ) -> None:
        super().__init__(message, retry_after=retry_after, reason=f"{limit} limit")
        self.limit = limit
        self.minutes = minutes


class TooManyCallsError(CallLimitError):
    """As many calls as may be open at once are open."""

    code = "too_many_calls"

    def __init__(self, bound: Bound, *, retry_after: float, minutes: tuple[MinuteStatus, ...] = ()) -> None:
        limit = "global" if bound == "global" else "user"
        super().__init__(_TOO_MANY[bound], limit=limit, retry_after=retry_after, minutes=minutes)


class CallMinutesExhaustedError(CallLimitError):
    """Less than 30 seconds of calls are left."""

    code = "call_minutes_exhausted"

    def __init__(self, limit: str, *, retry_after: float, minutes: tuple[MinuteStatus, ...] = ()) -> None:
        super().__init__(
            f"Less than 30 seconds of calls are left for now ({limit} limit). Try again later.",
            limit=limit,
            retry_after=retry_after,
            minutes=minutes,
        )


class CallRegistryUnavailableError(UnavailableError):
    """Calls cannot be counted, so none is opened."""

    code = "call_registry_unavailable"

    @classmethod
    def because(cls, error: RateLimitStorageUnavailableError) -> Self:
        """Make one of the storage's own error."""
        return cls(
            "Calls cannot be counted at the moment. Try again shortly.",
            reason=error.reason,
            retry_after=error.retry_after,
        )
