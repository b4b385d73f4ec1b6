"""What it costs to keep open calls: `python -m tests.benchmark.keeping` measures and prints that alone.

Keepers run in processes of their own (`keeper.py`), under gevent as the service's workers do, beside a Redis on
loopback; what the system accounts to such a process is its cost.
"""
# ruff: noqa: T201 - a command prints

import json
import ssl
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from websockets.sync.server import ServerConnection, serve

from service.calls.keeper import Keeper
from service.calls.memory_registry import MemoryCalls
from service.calls.redis_registry import PREFIX
from service.sandbox.tls import Certificate, write_certificate
from tests.support.calls import Clock, Memory, Vendor, opened, redis_calls, request
from tests.support.processes import ROOT, bare_environ
from tests.support.redis import RedisServer, running_redis

OPEN = 10_000
SECONDS = 10
DUE_A_SECOND = 200
_AFTER = 4
"""Seconds after the last call was due in which it should have ended."""


@dataclass(frozen=True)
class Keeping:
    """What was measured beside so many `calls`: shares of a core, seconds, bytes a call."""

    calls: int
    idle_share: float
    check_cpu: float
    due: int
    ended: int
    late_p50: float
    late_p99: float
    ending_share: float
    memory: float
    redis_memory: float


def measure(calls: int = OPEN, seconds: int = SECONDS) -> Keeping:
    """Keep so many calls for so many seconds: with nothing due, then while they are checked, then while they end."""
    with running_redis() as server, ExitStack() as stack:
        before = _redis_memory(server)
        idle = Keepers(stack, server, seconds, own=calls)
        redis_memory = (_redis_memory(server) - before) / calls
        (resting,) = idle.run()
        certificate = write_certificate(Path(stack.enter_context(TemporaryDirectory())))
        vendor = stack.enter_context(attaching(certificate))
        ids = server.client.zrange(f"{PREFIX}:active", 0, -1)
        server.client.zadd(f"{PREFIX}:check", dict.fromkeys(ids, 0))
        (checking,) = Keepers(
            stack, server, seconds, vendor=vendor, authority=str(certificate.authority)
        ).run()
        server.client.delete(f"{PREFIX}:check")
        ending = Keepers(stack, server, seconds + _AFTER + 2, number=2)
        due = min(calls, DUE_A_SECOND * seconds)
        start = 1000 * server.client.time()[0] + 2000
        times = {name: start + place * 1000 // DUE_A_SECOND for place, name in enumerate(ids[:due])}
        server.client.zadd(f"{PREFIX}:due", times)
        both = ending.run()
    late = sorted(each for keeper in both for each in keeper["late"]) or [float("inf")]
    return Keeping(
        calls=calls,
        idle_share=resting["cpu"] / seconds,
        check_cpu=max(0.0, checking["cpu"] - resting["cpu"]) / max(1, checking["checks"]),
        due=due,
        ended=sum(keeper["ended"] for keeper in both),
        late_p50=late[len(late) // 2],
        late_p99=late[int(0.99 * len(late))],
        ending_share=max(keeper["cpu"] for keeper in both) / (seconds + _AFTER + 2),
        memory=_process_memory(calls),
        redis_memory=redis_memory,
    )


def rows(found: Keeping) -> str:
    """Draw the block of the benchmark's table that is about keeping calls."""
    head = f"{f'keeping {found.calls} open calls':<60} {'measured':>14}"
    lines = (
        ("a keeper with nothing due, % of a core", f"{100 * found.idle_share:.2f}"),
        ("one check whether a call runs (TLS), ms of CPU", f"{1000 * found.check_cpu:.2f}"),
        (f"{DUE_A_SECOND} due a second, two processes: ended, of due", f"{found.ended} of {found.due}"),
        ("lateness of endings, p50, s", f"{found.late_p50:.3f}"),
        ("lateness of endings, p99, s", f"{found.late_p99:.3f}"),
        ("each of both processes meanwhile, % of a core", f"{100 * found.ending_share:.1f}"),
        ("a call in the process's memory, bytes", f"{found.memory:.0f}"),
        ("a call in Redis, bytes", f"{found.redis_memory:.0f}"),
    )
    return "\n".join([head, *(f"  {what:<58} {value:>14}" for what, value in lines)])


class Keepers:
    """Processes of `keeper.py`, which are ready once they are made."""

    def __init__(
        self, stack: ExitStack, server: RedisServer, seconds: float, *, number: int = 1, **given: Any
    ) -> None:
        arguments = {"port": server.port, "seconds": seconds, "own": 0, "vendor": None, "authority": None}
        command = [sys.executable, "-m", "gevent.monkey", "--module", "tests.benchmark.keeper"]
        command.append(json.dumps(arguments | given))
        self._processes = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=bare_environ(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(number)
        ]
        for process in self._processes:
            stack.callback(process.kill)
            self._read(process)

    def run(self) -> list[dict[str, Any]]:
        """Have them measure, and end them."""
        for process in self._processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        found = [self._read(process) for process in self._processes]
        for process in self._processes:
            process.kill()
        return found

    @staticmethod
    def _read(process: "subprocess.Popen[str]") -> dict[str, Any]:
        assert process.stdout
        line: dict[str, Any] = json.loads(process.stdout.readline())
        return line


@contextmanager
def attaching(certificate: Certificate) -> Iterator[str]:
    """Serve control sockets that wait until they are closed; gives the base URL."""

    def wait(connection: ServerConnection) -> None:
        for _ in connection:
            pass

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)
    with serve(wait, "127.0.0.1", 0, ssl=context) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()


def _redis_memory(server: RedisServer) -> int:
    # Of a user of its own, so that the script is loaded and each key there.
    opened(redis_calls(server), "f" * 64, calls=10, calls_global=10**6)
    used: int = server.client.info("memory")["used_memory"]
    return used


def _process_memory(calls: int) -> float:
    """Return what a call takes where calls are kept in memory, its process's own record included."""
    tracemalloc.start()
    registry = MemoryCalls(Memory(Clock()), opening_seconds=15)
    keeper = Keeper(registry, Vendor().calls, check_seconds=60)
    before = tracemalloc.get_traced_memory()[0]
    for number in range(calls):
        opening = registry.reserve(request(seconds=3600, calls_global=10**6)).call
        keeper.record(opening, f"live_{number:032x}")
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / calls


if __name__ == "__main__":
    print(rows(measure()))
