"""A real redis-server on loopback that tests may stop, kill and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from redis import Redis

from tests.support.processes import accepts_connections, free_port, wait_until
from tests.support.tools import require


@dataclass
class RedisServer:
    """A server on a port that stays its own while it is down."""

    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def client(self) -> Redis:
        return Redis(port=self.port)

    def start(self) -> None:
        """Start it, empty, and wait until it answers; one that ends instead fails the test with what it printed."""
        command = ("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", *self.options)
        without_disk = ("--save", "", "--appendonly", "no")
        with tempfile.TemporaryFile() as log:
            self._process = subprocess.Popen((*command, *without_disk), stdout=log, stderr=log)

            def is_up() -> bool:
                if self._process and self._process.poll() is not None:
                    log.seek(0)
                    raise AssertionError(f"redis-server ended at its start:\n{log.read().decode()}")
                return accepts_connections(self.port)

            wait_until(is_up, seconds=10, what="the start of redis-server")

    def kill(self) -> None:
        """End it without a word to anybody (SIGKILL); from then on its port refuses."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Keep it from answering while its connections stay open (SIGSTOP)."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        os.kill(self._process.pid, number)


@contextmanager
def running_redis(*options: str) -> Iterator[RedisServer]:
    """Run a redis-server until the block ends."""
    require("redis-server")
    server = RedisServer(options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
