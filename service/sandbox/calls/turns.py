"""One thing after another: what happens to a session happens in its turn, on a thread that all sessions share."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from service.sandbox.newest import MAX_BYTES
from service.sandbox.webrtc.loop import PeerLoop

_log = logging.getLogger(__name__)

_MAX_WAITING = 1000
"""What a client sends beyond these is dropped, until the session has caught up: 20 s of sound.

So is what it sends beyond ``MAX_BYTES``.
"""

_TIMER_PRECISION = 0.001


@dataclass(frozen=True, slots=True)
class Machinery:
    """What all calls share: the peers' loop, and the thread on which things happen to sessions.

    One thread: the work is all computing, and several would only keep each other, and the peers' loop, from it.
    """

    loop: PeerLoop = field(default_factory=PeerLoop)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "calls"))


class Turns:
    """The turns of one session; ``name`` is its, for the log.

    The peers' loop, whose packets must leave on time, waits for none of them.
    """

    def __init__(self, machinery: Machinery, name: str) -> None:
        self._pool = machinery.pool
        self._name = name
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()
        self._waiting_bytes = 0
        self._running = False
        self._timer = machinery.loop.timer(self._on_timer)
        self._due_at = float("inf")
        self._due: Callable[[], None] = lambda: None

    def take(self, work: Callable[[], None], *, droppable: bool = False, size: int = 0) -> None:
        """Do something when it is its turn, from any thread; what is droppable is dropped where too much waits.

        ``size`` is what it keeps in memory until then, as far as a client decides that.
        """
        with self._lock:
            too_much = len(self._waiting) >= _MAX_WAITING or self._waiting_bytes + size > MAX_BYTES
            if droppable and too_much:
                return
            self._waiting.append((work, size))
            self._waiting_bytes += size
            if self._running:
                return
            self._running = True
        try:
            self._pool.submit(self._run)
        except RuntimeError:  # the sandbox ends
            self._running = False

    def take_later(self, due_in: float | None, work: Callable[[], None]) -> None:
        """Do something after so many seconds, in place of what was planned before; None plans nothing.

        To be called in a turn.
        """
        due_at = float("inf") if due_in is None else time.monotonic() + due_in
        if due_in is not None and abs(due_at - self._due_at) > _TIMER_PRECISION:
            self._timer.set(due_in)
        self._due_at, self._due = due_at, work

    def cancel(self) -> None:
        """Do not do what was planned."""
        self._timer.cancel()
        self._due = lambda: None

    def _on_timer(self) -> None:
        self.take(self._when_due)

    def _when_due(self) -> None:
        self._due_at = float("inf")  # a timer that came early is set again
        self._due()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running = False
                    return
                work, size = self._waiting.popleft()
                self._waiting_bytes -= size
            try:
                work()
            except Exception:  # noqa: BLE001 - what is wrong with one call must not end the thread of all
                _log.exception("call %s", self._name)
