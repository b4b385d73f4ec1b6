"""The event loop that all peers run on, in a thread of its own beside the threads of the HTTP server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class PeerLoop:
    """An asyncio loop in a daemon thread, which ends with the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
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
        asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def soon(self, work: Callable[[], object]) -> None:
        """Call something on the loop, from any thread."""
        self._loop.call_soon_threadsafe(work)

    def later(self, seconds: float, work: Callable[[], object]) -> None:
        """Call something on the loop after so many seconds, from any thread."""
        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(seconds, work))
