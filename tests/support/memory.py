"""What a block takes of memory at most, as Python's own allocator counts it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Memory:
    """``most`` is in bytes, known once the block is over."""

    most: int = 0


@contextmanager
def traced_memory() -> Iterator[Memory]:
    """Trace until the block ends, whichever way it ends."""
    memory = Memory()
    tracemalloc.start()
    try:
        yield memory
    finally:
        _, memory.most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
