"""Bound a whole exchange in time: connecting, name lookup, retries and slow answers included."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import gevent
from gevent.monkey import is_module_patched

_STEPS: Final = 7


class DeadlineExceededError(Exception):
    """The total time allowed for an exchange is over."""


class deadline:  # noqa: N801 - read as a function is: ``with deadline(5):``
    """Bound everything inside to ``seconds``, retries and slow answers included.

    The timeout of ``requests`` is per read, so a server that sends a byte now and then never meets it.
    Rests on gevent, which the workers run on; where its patches are missing it bounds only what waits on gevent's
    own sockets.

    Raises:
        DeadlineExceededError: when the time is over.
    """

    __slots__ = ("_timeout",)

    def __init__(self, seconds: float) -> None:
        self._timeout = gevent.Timeout(seconds)

    def __enter__(self) -> None:
        self._timeout.start()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._timeout.close()
        if error is self._timeout:  # and not that of a deadline around this one
            raise DeadlineExceededError from None


def total_deadline(seconds: float) -> AbstractContextManager[None]:
    """Bound everything inside where gevent can, name lookup included; elsewhere nothing: each step must bound itself.

    Raises:
        DeadlineExceededError: when the time is over.
    """
    return deadline(seconds) if gevent_bounds_sockets() else nullcontext()


def gevent_bounds_sockets() -> bool:
    """Return whether sockets wait in gevent's loop, so that a deadline can end their waiting."""
    return bool(is_module_patched("socket"))


class turning_deadline:  # noqa: N801 - read as a function is, too
    """End the block with ``TimeoutError`` after ``seconds`` in which the loop was turning.

    A plain timeout that falls due while the process is held up, by work of its own or by a busy host, fires as
    soon as the loop turns again, before the answer that has long been waiting in the socket is read. So the time
    is taken in steps, each started when the one before is over: the loop reads what has come in between them, and
    a pause of any length costs one step. Where gevent does not drive the sockets there is no bound.
    """

    __slots__ = ("_left", "_seconds", "_timer", "_waiting")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._left = _STEPS
        self._timer: Any = None

    def __enter__(self) -> None:
        if gevent_bounds_sockets():
            self._waiting = gevent.getcurrent()
            self._timer = gevent.get_hub().loop.timer(0, repeat=self._seconds / _STEPS)
            self._timer.again(self._step, update=True)

    def _step(self) -> None:
        self._left -= 1
        if self._left:
            self._timer.again(self._step, update=True)
        else:
            self._waiting.throw(TimeoutError("no answer in time"))

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.close()
