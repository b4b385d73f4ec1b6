"""Bound a whole exchange in time: connecting, name lookup, retries and slow answers included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

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


@contextmanager
def turning_deadline(seconds: float) -> Iterator[None]:
    """End the block with ``TimeoutError`` after ``seconds`` in which the loop was turning.

    A plain timeout that falls due while the process is held up, by work of its own or by a busy host, fires as
    soon as the loop turns again, before the answer that has long been waiting in the socket is read. So the time
    is taken in steps, each started when the one before is over: the loop reads what has come in between them, and
    a pause of any length costs one step. Where gevent does not drive the sockets there is no bound.
    """
    if not gevent_bounds_sockets():
        yield
        return
    waiting, loop = gevent.getcurrent(), gevent.get_hub().loop
    with loop.timer(0, repeat=seconds / _STEPS) as timer:

        def step(left: int) -> None:
            if left:
                timer.again(step, left - 1, update=True)
            else:
                waiting.throw(TimeoutError("no answer in time"))

        timer.again(step, _STEPS - 1, update=True)
        yield
