"""The limits part, built from an environment as the service builds it, and callers to limit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Any

from flask import Flask

from service.core.errors import RateLimitedError
from service.core.model import Caller, pseudonym
from service.limits.counting import failover_for
from service.limits.extension import attach
from service.limits.limiter import RateLimits
from service.limits.quota import Quota
from service.limits.settings import LimitSettings

STRATEGIES = ("sliding-window-counter", "moving-window", "fixed-window")
_numbers = count()


def limits(storage: str = "memory://", *, on_heroku: bool = False, **variables: str) -> RateLimits:
    """Make limits from ``RATE_LIMIT_…`` variables, named without their prefix and in lower case."""
    environ = {f"RATE_LIMIT_{name.upper()}": value for name, value in variables.items()}
    settings = LimitSettings.from_environ({"RATE_LIMIT_STORAGE_URL": storage, **environ})
    strategy = attach(
        Flask(__name__),
        url=settings.storage_url,
        strategy=settings.rate_limit_strategy,
        on_heroku=on_heroku,
    )
    counter = failover_for(strategy, on_failure=settings.rate_limit_on_storage_failure)
    return RateLimits(settings.limit_rules, counter)


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
