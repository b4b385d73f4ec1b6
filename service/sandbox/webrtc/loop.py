"""The event loop that all peers run on, in a thread of its own beside the threads of the HTTP server."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class PeerLoop:
    """An asyncio loop in a daemon thread, which ends with the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._started: set[concurrent.futures.Future[Any]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="peers", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Result], *, seconds: float) -> Result:
        """Run a coroutine on the loop and wait for its result, from any other thread.

        Raises:
            TimeoutError: where it takes longer than ``seconds``; it is cancelled then.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise

    def start(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Start a coroutine on the loop without waiting for it, from any thread."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        self._started.add(future)
        future.add_done_callback(self._started.discard)

    def settle(self, seconds: float) -> None:
        """Wait until everything that was started is done, at most for so long."""
        concurrent.futures.wait(tuple(self._started), seconds)

    def soon(self, work: Callable[[], object]) -> None:
        """Call something on the loop, from any thread."""
        self._loop.call_soon_threadsafe(work)

    def timer(self, work: Callable[[], object]) -> Timer:
        """Make a timer that calls something on the loop."""
        return Timer(self._loop, work)


class Timer:
    """Calls ``work`` on a loop at some time, at most one ahead; may be set and cancelled from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> None:
        self._loop = loop
        self._work = work
        self._handle: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Call it after so many seconds, and not at the time that was set before."""
        self._loop.call_soon_threadsafe(self._set, self._loop.time() + seconds)

    def cancel(self) -> None:
        """Do not call it."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _set(self, at: float) -> None:
        self._cancel()
        self._handle = self._loop.call_at(at, self._work)

    def _cancel(self) -> None:
        if self._handle:
            self._handle.cancel()
            self._handle = None
