"""Cache an identity provider's key set, and refresh it.

A request whose key is known never waits: the set is refreshed in the background, ahead of need, and the
last good one serves while the provider is down. Only a request that cannot be answered otherwise (nothing
loaded yet, or a key that is not in the set) waits for a fetch, and all of those for the same one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.auth.jwks_fetch import KeySetLocation, Network, fetch_key_set
from service.auth.key_set import KeySet, KeySetError, parse_key_set
from service.auth.keys import PUBLIC_KEY_ALGORITHMS, VerificationKey
from service.core.errors import IdentityProviderUnavailableError

log = logging.getLogger(__name__)

MAX_WAITING = 100
"""How many requests may wait for a fetch, so that a flood of bad tokens leaves a worker capacity for others."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When a key set is fetched, all in seconds.

    ``fetch_deadline`` bounds one whole fetch. A set is refreshed once it is older than ``refresh_after``
    and serves until ``max_age``, which bounds how long a provider may be down, and how long a key that it
    withdrew meanwhile is still trusted. After a failed fetch there is none for ``failure_cooldown``. Within any
    ``search_window``, unknown key ids cause at most ``search_budget`` fetches, and each of them one.
    """

    fetch_deadline: float = 5
    refresh_after: float = 300
    max_age: float = 6 * 3600
    failure_cooldown: float = 5
    search_window: float = 30
    search_budget: int = 5


@dataclass(frozen=True, slots=True)
class KeySetState:
    """What is known of a key set now: each key's id and algorithms, its age in seconds, the last failure.

    ``refreshing`` tells whether a fetch is under way, ``waiting`` how many requests wait for it.
    """

    url: str
    keys: tuple[tuple[str | None, tuple[str, ...]], ...]
    age: float | None
    error: str | None
    refreshing: bool
    waiting: int

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
    """The keys at ``location`` for ``algorithms``. Opens no socket before the first question.

    ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        location: KeySetLocation,
        *,
        network: Network,
        algorithms: Sequence[str] = PUBLIC_KEY_ALGORITHMS,
        clock: Callable[[], float] = time.monotonic,
        timing: Timing = Timing(),
    ) -> None:
        self._location = location
        self._network = network
        self._algorithms = tuple(algorithms)
        self._clock = clock
        self._timing = timing
        self._now = _Snapshot()
        self._lock = threading.Lock()
        self._refresh_done: threading.Event | None = None
        self._searched: dict[str, float] = {}
        self._waiting = 0

    def candidates(self, header: Mapping[str, Any]) -> Iterator[VerificationKey]:
        """Yield the keys that fit a token's header; see ``KeySource``.

        A ``kid`` is looked up among the keys that have one. One that is not there may belong to a key that is
        published without, and is searched for only once those have failed.
        """
        if header.get("alg") not in self._algorithms:
            return
        key_set = self._load()
        yield from key_set.named(header)
        if key_set.lacks(header):
            yield from key_set.unnamed(header)
            self._search(header["kid"])
            key_set = self._now.key_set or key_set
            yield from key_set.named(header)

    def load(self) -> KeySetState:
        """Fetch the set now, or wait for the fetch under way, and say what came of it."""
        self._wait_for(self._start_refresh())
        return self.describe()

    def describe(self) -> KeySetState:
        """Say what is known, without a fetch."""
        now = self._now
        key_set = self._usable(now)
        return KeySetState(
            url=str(self._location),
            keys=tuple((key.key_id, key.algorithms) for key in key_set.keys) if key_set else (),
            age=self._clock() - now.loaded_at if key_set else None,
            error=now.error,
            refreshing=self._refresh_done is not None,
            waiting=self._waiting,
        )

    def describe_keys(self) -> list[str]:
        """Name each key of the set at hand by its id and algorithms."""
        return [
            f"{key_id or 'unnamed'} ({'/'.join(algorithms)})" for key_id, algorithms in self.describe().keys
        ]

    def _load(self) -> KeySet:
        """Return the set at hand, refreshed in the background where due; wait only where there is none."""
        now = self._now
        key_set = self._usable(now)
        if key_set:
            if self._clock() >= now.next_refresh:
                self._start_refresh()
            return key_set
        self._wait_for(self._start_refresh())
        key_set = self._usable(self._now)
        if key_set is None:
            raise self._unavailable()
        return key_set

    def _usable(self, now: _Snapshot) -> KeySet | None:
        fresh_enough = self._clock() - now.loaded_at < self._timing.max_age
        return now.key_set if fresh_enough else None

    def _unavailable(self) -> IdentityProviderUnavailableError:
        now = self._now
        cause = now.error or "too many requests wait for it"
        return IdentityProviderUnavailableError(
            "The sign-in service cannot be reached at the moment. Try again shortly.",
            reason=f"the key set {self._location} could not be fetched: {cause}",
            retry_after=max(1, now.failing_until - self._clock()),
        )

    def _search(self, key_id: str) -> None:
        """Look for a key that is not in the set: once for each id, within a budget for all ids together."""
        with self._lock:
            refresh, moment = self._refresh_done, self._clock()
            if refresh is None:
                oldest = moment - self._timing.search_window
                self._searched = {name: at for name, at in self._searched.items() if at > oldest}
                is_spent = len(self._searched) >= self._timing.search_budget
                if key_id in self._searched or is_spent or moment < self._now.failing_until:
                    return
                self._searched[key_id] = moment
        self._wait_for(refresh or self._start_refresh())

    def _start_refresh(self) -> threading.Event | None:
        """Start a fetch, or return the one under way; ``None`` while failures cool down."""
        with self._lock:
            if self._refresh_done is None and self._clock() >= self._now.failing_until:
                done = threading.Event()
                # A thread (a greenlet, in a worker): no request's end may cut the fetch short.
                threading.Thread(target=self._refresh, args=[done], name="jwks", daemon=True).start()
                self._refresh_done = done
            return self._refresh_done

    def _wait_for(self, done: threading.Event | None) -> None:
        """Wait until a fetch has ended, unless too many wait already."""
        if done is None:
            return
        with self._lock:
            if self._waiting >= MAX_WAITING:
                return
            self._waiting += 1
        try:
            done.wait(self._timing.fetch_deadline + 1)
        finally:
            with self._lock:
                self._waiting -= 1

    def _refresh(self, done: threading.Event) -> None:
        """Fetch once; whatever happens, note it and let those who wait go on."""
        try:
            document = fetch_key_set(self._location, self._network, seconds=self._timing.fetch_deadline)
            key_set = parse_key_set(document, self._algorithms)
            moment = self._clock()
            outcome = _Snapshot(key_set, loaded_at=moment, next_refresh=moment + self._timing.refresh_after)
        except KeySetError as error:
            outcome = self._failed(str(error))
        except Exception as error:  # the thread's edge: an unforeseen failure must cool down too
            log.exception("The key set could not be read.")
            outcome = self._failed(type(error).__name__)
        with self._lock:
            self._now, self._refresh_done = outcome, None
        done.set()

    def _failed(self, error: str) -> _Snapshot:
        log.warning("The key set %s could not be refreshed: %s", self._location, error)
        until = self._clock() + self._timing.failure_cooldown
        return replace(self._now, error=error, failing_until=until)
