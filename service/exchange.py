"""Run one exchange: authenticate the caller, decide what is granted, count it, act at the vendor, record it.

No Flask: ``Incoming`` is what an exchange needs of a request, and the ``Record`` it returns is all that happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final, Generic, Protocol, TypeVar

from service.auth.authenticator import Authenticator
from service.core.errors import InternalError, InvalidTokenError, ServiceError
from service.core.model import Caller, ClientSecret, Grant, Record, TokenRequest
from service.limits.limiter import RateLimits
from service.policy import Policy
from service.vendors.base import Response, Vendor
from service.vendors.openai import bad_response
from service.vendors.transport import Transport

Known = TypeVar("Known")
Result = TypeVar("Result", bound=ClientSecret)
Done_co = TypeVar("Done_co", bound=ClientSecret, covariant=True)


@dataclass(frozen=True, slots=True)
class Incoming:
    """What an exchange needs of a request. ``read_body`` is called for known callers only."""

    authorization: str | None
    address: str
    read_body: Callable[[], bytes]


class Action(Protocol[Done_co]):
    """What a caller can ask for: how its body is read, and what is done at the vendor."""

    @property
    def event(self) -> str:
        """The name of the audit event."""

    def read(self, body: bytes) -> TokenRequest:
        """Read what is asked for.

        Raises:
            InvalidRequestError: the body does not say something that can be done.
        """

    def act(self, caller: Caller, grant: Grant) -> Done_co:
        """Do it.

        Raises:
            ServiceError: the vendor refused, or could not be asked.
        """


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """What happened, and what came of it: ``None`` where ``record.error`` says why not."""

    record: Record
    result: Result | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """The parts that a request passes, in the order it passes them."""

    authenticator: Authenticator
    policy: Policy
    limits: RateLimits

    def run(self, action: Action[Result], incoming: Incoming, known: Record) -> Outcome[Result]:
        """Do what is asked for, and add to what is ``known`` of the request.

        Nothing is raised: an error is a fact of the record, as every other.
        """
        facts: dict[str, Any] = {"event": action.event}
        result: Result | None = None
        try:
            facts["caller"] = caller = check_credential(
                self.limits, incoming, self.authenticator.authenticate
            )
            facts["grant"] = grant = self._decide(action, caller, incoming)
            facts["quota_headers"] = self.limits.acquire(caller).headers
            started = perf_counter()
            try:
                facts["result"] = result = action.act(caller, grant)
            finally:
                facts["upstream_seconds"] = perf_counter() - started
        except ServiceError as error:
            facts["error"] = error
        except Exception as fault:  # noqa: BLE001 - a fault of our own is recorded as every other end is
            facts |= {"error": InternalError(), "fault": fault}
        return Outcome(replace(known, **facts, limit_storage=self.limits.state()), result)

    def _decide(self, action: Action[Result], caller: Caller, incoming: Incoming) -> Grant:
        """Read what is asked for and decide on it, for callers of whom not too much was refused already."""
        self.limits.check_refused(caller)
        try:
            body = incoming.read_body()
            self.limits.check_refused(caller)  # others of the caller's may have been refused while it came in
            return self.policy.decide(caller, action.read(body))
        except ServiceError as error:
            if error.status in _COUNTED_REFUSALS:
                self.limits.count_refused(caller)
            raise


_COUNTED_REFUSALS: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
)
"""What a known user's request may be refused with before it counts against the user's own limit."""


def check_credential(limits: RateLimits, incoming: Incoming, check: Callable[[str | None], Known]) -> Known:
    """Return what ``check`` makes of the ``Authorization`` header, on every route that takes a credential.

    Only a refused credential counts against its address, so a valid one is never refused for what others behind
    the same address did.

    Raises:
        ServiceError: what ``check`` raises.
        RateLimitedError: this address had too many refused.
        RateLimitStorageUnavailableError: the storage is unavailable and the policy is ``deny``.
    """
    try:
        return check(incoming.authorization)
    except InvalidTokenError:
        limits.count_failed_auth(incoming.address)
        raise


@dataclass(frozen=True, slots=True)
class Mint:
    """Mint a client secret. ``parse`` reads the body of the route that asks; ``models`` are those that are allowed."""

    parse: Callable[[bytes], TokenRequest]
    vendor: Vendor
    transport: Transport
    models: frozenset[str] = frozenset()
    event: str = "mint"

    def read(self, body: bytes) -> TokenRequest:
        """Read what is asked for."""
        return self.parse(body)

    def act(self, caller: Caller, grant: Grant) -> ClientSecret:
        """Ask the vendor for a secret; the caller's pseudonym names the end user to its abuse checks."""
        request = self.vendor.mint(grant, caller.pseudonym)
        response = self.transport.send(replace(request, check=partial(self._check_response, grant)))
        return self.vendor.read_mint(response)

    def _check_response(self, grant: Grant, response: Response) -> None:
        """Refuse a secret that was minted for another request: whoever asks here must not be given it."""
        if response.status != HTTPStatus.OK:
            return
        session = self.vendor.read_mint(response).session
        if mismatch := self.vendor.layout.find_mismatch(session, grant, self.models):
            raise bad_response(f"the session is another request's: {mismatch}")
