"""This process's memory as a storage: bounded, forgetful in time, and indifferent to the host's clock."""

from __future__ import annotations

import threading

import pytest
import time_machine

from service.core.errors import StorageFailureError
from service.store import MemoryStore
from tests.support.limits import Clock, client, limits


def test_a_value_is_there_until_its_time_is_over() -> None:
    """And no longer, whether or not it was removed yet."""
    clock = Clock()
    store = MemoryStore(clock)
    store.set("key", "value", 10)
    clock.seconds = 9.9
    assert store.get("key") == "value"
    clock.seconds = 10
    assert store.get("key") is None
    store.set("key", "value", 10)
    store.delete("key")
    assert store.get("key") is None


def test_memory_forgets_by_itself_and_has_no_timer() -> None:
    """Expired keys go when the number of keys has doubled; nobody looks through all of them in between."""
    clock = Clock()
    store = MemoryStore(clock)
    threads = threading.active_count()
    for round_ in range(20):
        for number in range(1000):
            store.set(f"{round_}-{number}", 1, 60)
        clock.seconds += 61
    assert len(store) <= 3000
    assert threading.active_count() == threads


def test_full_memory_takes_no_new_key_and_drops_none() -> None:
    """To drop one would give somebody a fresh limit; what is there goes on being counted."""
    clock = Clock()
    store = MemoryStore(clock, max_keys=2000)
    for number in range(2000):
        store.set(f"key-{number}", 1, 60)
    with pytest.raises(StorageFailureError) as refused:
        store.set("another", 1, 60)
    assert "RATE_LIMIT_STORAGE_URL" in (refused.value.reason or "")
    store.set("key-7", 2, 60)
    assert store.get("key-7") == 2
    assert store.get("key-1999") == 1
    clock.seconds += 61
    store.set("another", 1, 60)
    assert len(store) == 1


@pytest.mark.parametrize("strategy", ["sliding-window-counter", "moving-window", "fixed-window"])
@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_clock_that_is_set_neither_locks_users_out_nor_lifts_a_limit(strategy: str, step: int) -> None:
    """Set back by an hour it locked everybody out for that hour; set forward it gave fresh limits."""
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        user = client(limits(per_user="2/minute", strategy=strategy))
        assert user.uses_up() == 2
        clock.shift(step)
        refused = user.is_refused()
        assert 50 < (refused.retry_after or 0) <= 60.1
