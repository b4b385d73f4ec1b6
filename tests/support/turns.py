"""Let a test that measures time run alone, while pytest-xdist's other workers wait."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zlib import crc32

from tests.support.processes import ROOT

IN_PARALLEL = "PYTEST_XDIST_TESTRUNUID" in os.environ
"""Whether this is one of pytest-xdist's workers."""

CHECKOUT = f"{crc32(bytes(ROOT)):08x}"
"""Runs in one checkout take turns with each other, too."""


_held: list[ExitStack] = []


@contextmanager
def turn(*, alone: bool, keep: bool) -> Iterator[None]:
    """Hold a place among the tests that run now, or, ``alone``, the only one; ``keep`` it for the next test as well.

    The queue is entered by one worker at a time, so that a test that waits to be alone is not overtaken by others.
    """
    if not IN_PARALLEL:
        yield
        return
    if not _held:
        with lock(f"{CHECKOUT}-queue") as queue, ExitStack() as stack:
            fcntl.flock(queue, fcntl.LOCK_EX)
            tests = stack.enter_context(lock(f"{CHECKOUT}-tests"))
            fcntl.flock(tests, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            _held.append(stack.pop_all())
    try:
        yield
    finally:
        if not keep:
            _held.pop().close()


@contextmanager
def lock(name: str) -> Iterator[int]:
    """Open a file to lock, the same one in every worker; closing it releases what was locked."""
    descriptor = os.open(Path(tempfile.gettempdir()) / f"token-service-{name}.lock", os.O_CREAT | os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Keep two workers, or two runs of pytest, from doing the same thing at once."""
    with lock(name) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
