"""Measures the registry and the keeper; ``python -m tests.calls.measure [gevent]`` prints a line a number.

The keeper's processes are this module again, started with the role ``keeper``: their CPU is what the system accounts
to them. Redis runs on loopback and is stopped at the end.
"""

from __future__ import annotations

import sys

if "gevent" in sys.argv:
    from gevent import monkey

    monkey.patch_all()

import json
import resource
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.calls.keeper import Keeper
from service.calls.memory_registry import MemoryCalls
from service.calls.model import Call
from service.calls.redis_registry import PREFIX, RedisCalls
from tests.support.calls import Clock, Heard, Memory, Vendor, opened, redis_calls, request
from tests.support.processes import PYTHON, ROOT, bare_environ
from tests.support.redis import RedisServer, running_redis

OPEN = 10_000
IDLE_SECONDS = 20
DUE_SECONDS = 10


def say(what: str, value: str) -> None:
    """Print one number."""
    sys.stdout.write(f"{what:<64} {value}\n")
    sys.stdout.flush()


def cpu() -> float:
    """Return the CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def keep(port: int, seconds: float, own: int) -> None:
    """Be a keeper for so many seconds, with so many calls of its own; print its CPU and how late it was."""
    server, heard = RedisServer(port=port), Heard()
    registry = redis_calls(server)
    vendor = Vendor(takes=0.3)
    keeper = Keeper(registry, vendor.calls, check_seconds=0, events=heard)
    for _ in range(own):
        keeper.record(
            registry.reserve(request(seconds=3600, calls_global=10**6)).call,
            "live_0123456789abcdef0123456789",
        )
    keeper.start()
    say("ready", "")
    sys.stdin.readline()
    before = cpu()
    threading.Event().wait(seconds)
    used = cpu() - before
    sys.stdout.write(json.dumps({"cpu": used, "late": heard.lateness, "ended": len(heard.endings)}) + "\n")
    sys.stdout.flush()
    keeper.stop(5)


@contextmanager
def keeper_process(server: RedisServer, seconds: float, own: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Run a keeper in a process of its own; it is ready once the block is entered."""
    given = ["keeper", str(server.port), str(seconds), str(own)]
    mode = ["gevent"] if "gevent" in sys.argv else []
    with subprocess.Popen(
        [PYTHON, "-m", "tests.calls.measure", *given, *mode],
        cwd=ROOT,
        env=bare_environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield process


def finish(process: subprocess.Popen[str]) -> dict[str, object]:
    """Read what a keeper measured."""
    assert process.stdout
    measured: dict[str, object] = json.loads(process.stdout.readline())
    return measured


def begin(process: subprocess.Popen[str]) -> None:
    """Have it begin to measure."""
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def measure_operations(server: RedisServer, registry: RedisCalls) -> None:
    """Time each operation beside 10,000 open calls: our CPU, and Redis's time."""
    bounds = {"minutes": "60/day;600/month", "minutes_global": "100000/day", "calls_global": 10**6}
    calls: dict[int, Call] = {}

    def reserve(number: int) -> None:
        calls[number] = registry.reserve(request(**bounds)).call

    operations: dict[str, Callable[[int], object]] = {
        "reserve": reserve,
        "record": lambda n: registry.record(calls[n].id, f"live_{n:032x}"),
        "get": lambda n: registry.get(calls[n].id),
        "end": lambda n: registry.end(calls[n].id, "client"),
        "confirm": lambda n: registry.confirm(calls[n].id, "vendor"),
    }
    for name, operation in operations.items():
        server.client.config_resetstat()
        before, wall = cpu(), time.perf_counter()
        for n in range(1000):
            operation(n)
        used, wall = cpu() - before, time.perf_counter() - wall
        stats = server.client.info("commandstats")["cmdstat_evalsha"]
        say(
            f"{name}: our CPU / Redis / wall, microseconds",
            f"{1000 * used:.0f} / {stats['usec_per_call']:.0f} / {1000 * wall:.0f}",
        )
    server.client.config_resetstat()
    for _ in range(10):
        registry.list_all()
    stats = server.client.info("commandstats")["cmdstat_evalsha"]
    say("list of 1,000: Redis, milliseconds", f"{stats['usec_per_call'] / 1000:.1f}")


def measure_memory(server: RedisServer) -> None:
    """Weigh a call: in this process's memory, and in Redis."""
    server.client.flushall()
    registry = redis_calls(server)
    opened(registry)
    before = server.client.info("memory")["used_memory"]
    for _ in range(OPEN):
        opened(registry, seconds=3600, calls_global=10**6)
    say("Redis, bytes a call", f"{(server.client.info('memory')['used_memory'] - before) / OPEN:.0f}")
    tracemalloc.start()
    memory = MemoryCalls(Memory(Clock()), opening_seconds=15)
    keeper = Keeper(memory, Vendor().calls, check_seconds=60)
    before = tracemalloc.get_traced_memory()[0]
    for n in range(OPEN):
        keeper.record(memory.reserve(request(seconds=3600, calls_global=10**6)).call, f"live_{n:032x}")
    say(
        "memory://, bytes a call, the process's own record included",
        f"{(tracemalloc.get_traced_memory()[0] - before) / OPEN:.0f}",
    )
    tracemalloc.stop()


def measure_keepers(server: RedisServer) -> None:
    """Idle beside 10,000 open calls, then 200 due a second over two processes."""
    registry = redis_calls(server)
    with keeper_process(server, IDLE_SECONDS) as process:
        server.client.config_resetstat()
        begin(process)
        used = finish(process)["cpu"]
        stats = server.client.info("commandstats")["cmdstat_evalsha"]
    say(
        "idle keeper, 10,000 open, others' calls: % of a core", f"{100 * float(str(used)) / IDLE_SECONDS:.2f}"
    )
    say("  Redis, microseconds a look", f"{stats['usec_per_call']:.0f}")
    server.client.flushall()
    with keeper_process(server, IDLE_SECONDS, own=OPEN) as process:
        server.client.config_resetstat()
        begin(process)
        used = finish(process)["cpu"]
        stats = server.client.info("commandstats")["cmdstat_evalsha"]
    say("idle keeper, 10,000 open, all its own: % of a core", f"{100 * float(str(used)) / IDLE_SECONDS:.2f}")
    say("  Redis, microseconds a look", f"{stats['usec_per_call']:.0f}")

    ids = server.client.zrange(f"{PREFIX}:due", 0, 200 * DUE_SECONDS - 1)
    with keeper_process(server, DUE_SECONDS + 6) as one, keeper_process(server, DUE_SECONDS + 6) as other:
        start = 1000 * server.client.time()[0] + 2000  # from then on 200 a second become due, spread evenly
        server.client.zadd(f"{PREFIX}:due", {call_id: start + 5 * place for place, call_id in enumerate(ids)})
        begin(one)
        begin(other)
        measured = [finish(one), finish(other)]
    late = sorted(seconds for each in measured for seconds in each["late"])  # type: ignore[attr-defined]
    say(
        "200 due a second, two keepers: begun / ended",
        f"{len(late)} / {sum(int(str(each['ended'])) for each in measured)}",
    )
    say(
        "  lateness p50 / p99 / most, seconds",
        f"{late[len(late) // 2]:.3f} / {late[int(0.99 * len(late))]:.3f} / {late[-1]:.3f}",
    )
    share = [100 * float(str(each["cpu"])) / (DUE_SECONDS + 6) for each in measured]
    say("  % of a core, each, over the whole time", " / ".join(f"{each:.1f}" for each in share))
    assert registry.counts().active == OPEN - len(ids)


def main() -> None:
    """Measure all of it."""
    if sys.argv[1:2] == ["keeper"]:
        keep(int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
        return
    with running_redis() as server:
        measure_memory(server)
        measure_operations(server, redis_calls(server))
        measure_keepers(server)


if __name__ == "__main__":
    main()
