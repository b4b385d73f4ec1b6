"""What happens when the storage is gone: an answer at once, never no limit, and back by itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from service.core.deadline import turning_deadline
from service.core.errors import RateLimitStorageUnavailableError
from service.core.model import StorageState
from service.limits.counter import Counter
from service.limits.state import Taken
from service.limits.window import PROBE, Bucket

DEADLINE: Final = 0.7
"""Seconds one request may spend on the storage."""

PROBE_EVERY: Final = 1.0
"""Seconds between two looks whether the storage is back."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Failover:
    """A storage with a circuit breaker: after the first failure nobody waits for it until it is back.

    While it is away requests count in ``fallback``, in this process alone; without one (the ``deny``
    policy) they are refused. One background thread asks the storage once a second and returns to it when it
    counts again. Only failures of the storage, ``failures``, open the circuit: a bug elsewhere never
    gives anybody a fresh quota. Memory knows none, and is asked without further ado.
    """

    def __init__(
        self, primary: Counter, fallback: Counter | None, *, failures: tuple[type[Exception], ...]
    ) -> None:
        self._primary = primary
        self._fallback = fallback
        self._failures = failures
        self._open = False
        self._opening = threading.Lock()

    @property
    def state(self) -> StorageState:
        """``ok``, ``degraded`` (counting in this process), or ``unavailable`` (refusing)."""
        if not self._open:
            return "ok"
        return "degraded" if self._fallback else "unavailable"

    @property
    def crowded(self) -> bool:
        """Whether what counts now remembers so much that strangers should no longer get a bucket each."""
        counter = self._fallback if self._open else self._primary
        return counter is not None and counter.crowded

    def probe(self) -> StorageState:
        """Ask the storage now, unless it is known to be away, and say how things are."""
        if not self._open:
            try:
                with turning_deadline(DEADLINE):
                    self._primary.take([PROBE])
            except self._failures as error:
                self._give_up(error)
        return self.state

    def take(self, buckets: Sequence[Bucket]) -> Taken:
        """Count one request in every bucket, or in none.

        Raises:
            RateLimitStorageUnavailableError: where the storage is away and there is no fallback.
        """
        return self._ask(lambda counter: counter.take(buckets))

    def first_use(self, key: str, seconds: int) -> bool:
        """Tell whether ``key`` is seen for the first time, and remember it for so many seconds.

        Raises:
            RateLimitStorageUnavailableError: where the storage is away and there is no fallback.
        """
        return self._ask(lambda counter: counter.first_use(key, seconds))

    def _ask(self, question: Callable[[Counter], T]) -> T:
        if not self._failures:
            return question(self._primary)
        if not self._open:
            try:
                with turning_deadline(DEADLINE):
                    return question(self._primary)
            except self._failures as error:
                self._give_up(error)
        if self._fallback is None:
            raise RateLimitStorageUnavailableError(
                "Requests cannot be counted at the moment. Try again shortly.",
                reason="the rate limit storage is away",
                retry_after=PROBE_EVERY,
            )
        return question(self._fallback)

    def _give_up(self, error: Exception) -> None:
        with self._opening:
            if self._open:
                return
            self._open = True
        _log.error("rate limit storage failed (%s: %s); now %s", type(error).__name__, error, self.state)
        threading.Thread(target=self._wait_until_back, name="rate-limit-storage-probe", daemon=True).start()

    def _wait_until_back(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(PROBE_EVERY)
            try:
                with turning_deadline(DEADLINE):
                    self._primary.take([PROBE])
            except Exception:  # noqa: BLE001, S112 - whatever it is, the storage does not count yet
                continue
            self._open = False
            _log.warning("rate limit storage is back")
            return
