"""The limits part, built from an environment as the service builds it, and callers to limit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Any

from flask import Flask

from service.core.errors import RateLimitedError
from service.core.model import Caller, pseudonym
from service.limits import LimitSettings, RateLimits, build
from service.limits.limiter import Quota
from service.store import MemoryStore, Store, StoreSettings
from service.store import build as build_store

STRATEGIES = ("sliding-window-counter", "moving-window", "fixed-window")
_numbers = count()


@dataclass
class Clock:
    """A memory's clock that moves only when told."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def make_store(url: str = "memory://", *, on_failure: str = "local", dyno: str = "") -> Store:
    """Make a store as the service does."""
    variables = {"RATE_LIMIT_STORAGE_URL": url, "RATE_LIMIT_ON_STORAGE_FAILURE": on_failure, "DYNO": dyno}
    return build_store(StoreSettings.from_environ(variables))


def limits(storage: str | Store | Clock = "memory://", *, dyno: str = "", **variables: str) -> RateLimits:
    """Make limits from ``RATE_LIMIT_…`` variables, named without their prefix and in lower case.

    They count in a store, in the one that a URL names, or in a memory with the clock that is given.
    """
    on_failure = variables.pop("on_storage_failure", "local")
    environ = {f"RATE_LIMIT_{name.upper()}": value for name, value in variables.items()}
    if isinstance(storage, str):
        storage = make_store(storage, on_failure=on_failure, dyno=dyno)
    elif isinstance(storage, Clock):
        storage = MemoryStore(storage)
    made = build(LimitSettings.from_environ(environ), storage)
    made.init_app(Flask(__name__))
    return made


def caller(subject: str | None = None, **claims: Any) -> Caller:
    """Make a caller: another one each time, unless a subject is given."""
    subject = subject or f"user-{next(_numbers)}"
    name = pseudonym(b"a key", "https://issuer.test", subject)
    return Caller("https://issuer.test", subject, MappingProxyType(claims), name)


@dataclass(frozen=True)
class Client:
    """One user of some limits."""

    limits: RateLimits
    caller: Caller

    def ask(self) -> Quota | RateLimitedError:
        """Ask once; give what is left, or the refusal."""
        try:
            return self.limits.acquire(self.caller)
        except RateLimitedError as error:
            return error

    def is_admitted(self) -> bool:
        return isinstance(self.ask(), Quota)

    def is_refused(self) -> RateLimitedError:
        """Expect a refusal and return it."""
        answer = self.ask()
        assert isinstance(answer, RateLimitedError)
        return answer

    def uses_up(self, most: int = 1000) -> int:
        """Ask until refused; return how often that went well."""
        return next(number for number in range(most) if not self.is_admitted())


def client(limits: RateLimits, **claims: Any) -> Client:
    """Make a new user of some limits."""
    return Client(limits, caller(**claims))
