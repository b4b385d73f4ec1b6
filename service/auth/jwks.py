"""An identity provider's key set, kept at hand.

A request whose key is known never waits: the set is refreshed in the background, ahead of need, and the
last good one serves while the provider is down. Only a request that cannot be answered otherwise (nothing
loaded yet, or a key that is not in the set) waits for a fetch, and all of those for the same one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import requests

from service.auth.jwks_fetch import fetch_key_set
from service.auth.key_set import KeySet, KeySetError, parse_key_set
from service.auth.keys import PUBLIC_KEY_ALGORITHMS, VerificationKey
from service.core.errors import IdentityProviderUnavailableError

log = logging.getLogger(__name__)

MAX_WAITING = 100
"""How many requests may wait for a fetch, so that a storm of bad tokens leaves a worker room for others."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When a key set is fetched, all in seconds.

    ``fetch_deadline`` bounds one whole fetch. A set is refreshed once it is older than ``refresh_after``
    and serves until ``max_age``, which bounds how long a provider may be down, and how long a key that it
    withdrew meanwhile is still trusted. After a failed fetch there is none for ``failure_cooldown``, and
    unknown key ids cause at most one in ``unknown_key_cooldown``.
    """

    fetch_deadline: float = 5
    refresh_after: float = 300
    max_age: float = 6 * 3600
    failure_cooldown: float = 5
    unknown_key_cooldown: float = 10


@dataclass(frozen=True, slots=True)
class KeySetState:
    """What is known of a key set now: each key's id and algorithms, its age in seconds, the last failure."""

    url: str
    keys: tuple[tuple[str | None, tuple[str, ...]], ...]
    age: float | None
    error: str | None

    @property
    def loaded(self) -> bool:
        """Whether tokens can be verified."""
        return bool(self.keys)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """Everything a fetch changes, replaced as one value, so that reading needs no lock."""

    key_set: KeySet | None = None
    loaded_at: float = 0
    next_refresh: float = 0
    failing_until: float = 0
    error: str | None = None


class JwksKeys:
    """The keys of ``url`` for ``algorithms``. Opens no socket before the first question.

    ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        http: requests.Session,
        algorithms: Sequence[str] = PUBLIC_KEY_ALGORITHMS,
        clock: Callable[[], float] = time.monotonic,
        timing: Timing = Timing(),
    ) -> None:
        self._url = url
        self._http = http
        self._algorithms = tuple(algorithms)
        self._clock = clock
        self._timing = timing
        self._now = _Snapshot()
        self._lock = threading.Lock()
        self._flight: threading.Event | None = None
        self._next_search = float("-inf")
        self._places = threading.BoundedSemaphore(MAX_WAITING)

    def candidates(self, header: Mapping[str, Any]) -> Sequence[VerificationKey]:
        """Return the keys that fit a token's header; see ``KeySource``."""
        if header.get("alg") not in self._algorithms:
            return ()
        key_set = self._key_set()
        if key_set.lacks(header):
            self._search()
            key_set = self._now.key_set or key_set
        return key_set.candidates(header)

    def load(self) -> KeySetState:
        """Fetch the set now, or wait for the fetch under way, and say what came of it."""
        self._join(self._take_off())
        return self.describe()

    def describe(self) -> KeySetState:
        """Say what is known, without asking anybody."""
        now = self._now
        key_set = self._serving(now)
        return KeySetState(
            url=self._url,
            keys=tuple((key.key_id, key.algorithms) for key in key_set.keys) if key_set else (),
            age=self._clock() - now.loaded_at if key_set else None,
            error=now.error,
        )

    def _key_set(self) -> KeySet:
        """Return the set at hand, refreshed in the background where due; wait only where there is none."""
        now = self._now
        key_set = self._serving(now)
        if key_set:
            if self._clock() >= now.next_refresh:
                self._take_off()
            return key_set
        self._join(self._take_off())
        key_set = self._serving(self._now)
        if key_set is None:
            raise self._unavailable()
        return key_set

    def _serving(self, now: _Snapshot) -> KeySet | None:
        fresh_enough = self._clock() - now.loaded_at < self._timing.max_age
        return now.key_set if fresh_enough else None

    def _unavailable(self) -> IdentityProviderUnavailableError:
        now = self._now
        cause = now.error or "too many requests wait for it"
        return IdentityProviderUnavailableError(
            "The sign-in service cannot be reached at the moment. Try again shortly.",
            reason=f"no key set could be had from {self._url}: {cause}",
            retry_after=max(1, now.failing_until - self._clock()),
        )

    def _search(self) -> None:
        """Look for a key that is not in the set, unless that was done a moment ago."""
        with self._lock:
            under_way, moment = self._flight, self._clock()
            if under_way is None and moment < self._next_search:
                return
            self._next_search = moment + self._timing.unknown_key_cooldown
        self._join(under_way or self._take_off())

    def _take_off(self) -> threading.Event | None:
        """Start a fetch, or return the one under way; ``None`` while failures cool down."""
        with self._lock:
            if self._flight is None and self._clock() >= self._now.failing_until:
                landed = threading.Event()
                # A thread (a greenlet, in a worker): no request's end may cut the fetch short.
                threading.Thread(target=self._fly, args=[landed], name="jwks", daemon=True).start()
                self._flight = landed
            return self._flight

    def _join(self, flight: threading.Event | None) -> None:
        """Wait until a fetch has landed, in so far as there is a place to wait."""
        if flight and self._places.acquire(blocking=False):
            try:
                flight.wait(self._timing.fetch_deadline + 1)
            finally:
                self._places.release()

    def _fly(self, landed: threading.Event) -> None:
        """Fetch once; whatever happens, note it and let those who wait go on."""
        try:
            outcome = self._succeeded(self._fetch())
        except KeySetError as error:
            outcome = self._failed(str(error))
        except Exception as error:  # the thread's edge: an unforeseen failure must cool down too
            log.exception("The key set could not be read.")
            outcome = self._failed(type(error).__name__)
        with self._lock:
            self._now, self._flight = outcome, None
        landed.set()

    def _fetch(self) -> KeySet:
        document = fetch_key_set(self._http, self._url, seconds=self._timing.fetch_deadline)
        return parse_key_set(document, self._algorithms)

    def _succeeded(self, key_set: KeySet) -> _Snapshot:
        moment = self._clock()
        return _Snapshot(key_set, loaded_at=moment, next_refresh=moment + self._timing.refresh_after)

    def _failed(self, error: str) -> _Snapshot:
        log.warning("The key set %s could not be refreshed: %s", self._url, error)
        until = self._clock() + self._timing.failure_cooldown
        return replace(self._now, error=error, failing_until=until)
